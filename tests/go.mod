// Programs and libraries that the tests and the demonstration run, and the generator of the chart.
module quayrotator.dev/tests

go 1.26

require go.yaml.in/yaml/v3 v3.0.4
