package chart

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A value is one entry of values.yaml and what its comment says of it.
type value struct {
	path        string // image.tag
	name        string
	description string
	documented  bool // with # --, so that it has a row of the table
	hint        map[string]any
	node        *yaml.Node
	children    []value // of a map of which each key is described
}

// parseValues reads values.yaml. Every key must be described.
func parseValues(text []byte) ([]value, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	return parseMap(document.Content[0], "")
}

func parseMap(node *yaml.Node, prefix string) ([]value, error) {
	var all []value
	for at := 0; at < len(node.Content); at += 2 {
		key, content := node.Content[at], node.Content[at+1]
		one := value{path: prefix + key.Value, name: key.Value, node: content}
		var lines []string
		for _, line := range strings.Split(key.HeadComment, "\n") {
			line = strings.TrimSpace(strings.TrimPrefix(line, "#"))
			if schema, found := strings.CutPrefix(line, "@schema "); found {
				if err := json.Unmarshal([]byte(schema), &one.hint); err != nil {
					return nil, fmt.Errorf("%s: its @schema: %w", one.path, err)
				}
			} else if text, found := strings.CutPrefix(line, "-- "); found {
				one.documented = true
				lines = []string{text}
			} else {
				lines = append(lines, line)
			}
		}
		one.description = strings.Join(lines, " ")
		if one.description == "" {
			return nil, fmt.Errorf("%s: has no comment in values.yaml", one.path)
		}
		if content.Kind == yaml.MappingNode && len(content.Content) > 0 && one.hint["free"] == nil {
			var err error
			if one.children, err = parseMap(content, one.path+"."); err != nil {
				return nil, err
			}
		} else if !one.documented {
			return nil, fmt.Errorf("%s: its comment does not begin with # --", one.path)
		}
		all = append(all, one)
	}
	return all, nil
}

// ordered is a JSON object that keeps its order.
type ordered []struct {
	key   string
	value any
}

func (o *ordered) add(key string, value any) {
	*o = append(*o, struct {
		key   string
		value any
	}{key, value})
}

func (o ordered) MarshalJSON() ([]byte, error) {
	var text strings.Builder
	for at, entry := range o {
		if at > 0 {
			text.WriteByte(',')
		}
		key, err := plainJSON(entry.key)
		if err != nil {
			return nil, err
		}
		value, err := plainJSON(entry.value)
		if err != nil {
			return nil, err
		}
		text.WriteString(key + ":" + value)
	}
	return []byte("{" + text.String() + "}"), nil
}

// plainJSON leaves < and > as they are.
func plainJSON(value any) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSpace(text.String()), err
}

// valuesSchema is values.schema.json: closed, and every key described.
func valuesSchema(values []value) (string, error) {
	properties, err := propertiesOf(values)
	if err != nil {
		return "", err
	}
	properties.add("global", map[string]any{
		"type": "object", "description": "Values of a chart of which this one is a part; not used.",
	})
	var schema ordered
	schema.add("$schema", "http://json-schema.org/draft-07/schema#")
	schema.add("type", "object")
	schema.add("additionalProperties", false)
	schema.add("properties", properties)
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(schema)
	return text.String(), err
}

func propertiesOf(values []value) (ordered, error) {
	var all ordered
	for _, one := range values {
		var property ordered
		property.add("description", one.description)
		if one.children != nil {
			children, err := propertiesOf(one.children)
			if err != nil {
				return nil, err
			}
			property.add("type", "object")
			property.add("additionalProperties", false)
			property.add("properties", children)
			all.add(one.name, property)
			continue
		}
		if one.hint["type"] == nil {
			kind, err := typeOf(one)
			if err != nil {
				return nil, err
			}
			property.add("type", kind)
		}
		texts := map[string]any{"type": "string"}
		switch {
		case one.hint["labels"] != nil:
			texts["maxLength"], texts["pattern"] = 63, "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
			property.add("additionalProperties", texts)
		case one.hint["annotations"] != nil:
			property.add("additionalProperties", texts)
		case one.hint["ports"] != nil:
			property.add("items", map[string]any{"type": "integer", "minimum": 1, "maximum": 65535})
		case one.hint["free"] == nil && one.node.Kind == yaml.MappingNode:
			return nil, fmt.Errorf("%s: its @schema does not tell what may be in it", one.path)
		}
		for _, key := range []string{"type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "items", "uniqueItems"} {
			if hint := one.hint[key]; hint != nil {
				property.add(key, hint)
			}
		}
		all.add(one.name, property)
	}
	return all, nil
}

func typeOf(one value) (string, error) {
	switch {
	case one.node.Kind == yaml.MappingNode:
		return "object", nil
	case one.node.Kind == yaml.SequenceNode:
		return "array", nil
	case one.node.Tag == "!!str":
		return "string", nil
	case one.node.Tag == "!!bool":
		return "boolean", nil
	case one.node.Tag == "!!int":
		return "integer", nil
	}
	return "", fmt.Errorf("%s: its default has no type", one.path)
}

// valuesTable is the table of the README.
func valuesTable(values []value) (string, error) {
	var text strings.Builder
	text.WriteString("| value | default | |\n|---|---|---|\n")
	var add func(values []value) error
	add = func(values []value) error {
		for _, one := range values {
			if one.children != nil {
				if err := add(one.children); err != nil {
					return err
				}
				continue
			}
			var standard any
			if err := one.node.Decode(&standard); err != nil {
				return err
			}
			shown, err := plainJSON(standard)
			if err != nil {
				return err
			}
			description := strings.ReplaceAll(strings.ReplaceAll(one.description, "|", "\\|"), "*.", "\\*.")
			fmt.Fprintf(&text, "| `%s` | `%s` | %s |\n", one.path, shown, description)
		}
		return nil
	}
	err := add(values)
	return text.String(), err
}
