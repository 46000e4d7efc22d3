// Programs and libraries that the tests and the demonstration run. Standard library only.
module quayrotator.dev/tests

go 1.26
