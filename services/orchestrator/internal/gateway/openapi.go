package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	authv1 "github.com/afterbell/afterbell/gen/afterbell/auth/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/gen/openapi"
)

// object is a JSON object of the document.
type object = map[string]any

// about is the head of the document, which applies to every call.
const about = `Keeps and explains a local copy of the Chinese A-share market.

Bodies and answers are JSON; names are read in lowerCamelCase and in snake_case, and unknown ones are refused.
64-bit numbers are strings, times are UTC, dates are "YYYY-MM-DD". A pool is targets or universe in a path and POOL_TARGETS
or POOL_UNIVERSE in a body; a query takes either. An error has one google.rpc.ErrorInfo of the domain afterbell, whose
reason is one of Reason without its prefix; INVALID_ARGUMENT names each wrong field in a google.rpc.BadRequest.`

// document is the generated OpenAPI document with additions: title, the form of errors and
// of streams. Services without REST are omitted. routes are its paths.
func document() (text []byte, routes []route, err error) {
	var doc object
	if err := json.Unmarshal(openapi.JSON, &doc); err != nil {
		return nil, nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	doc["securityDefinitions"] = object{"key": object{"type": "apiKey", "in": "header", "name": "Authorization", "description": "Bearer and an API key."}}
	doc["security"] = []any{object{"key": []any{}}}
	doc["info"] = object{"title": "afterbell", "version": "v1", "description": about}
	definitions, _ := doc["definitions"].(object)
	paths, _ := doc["paths"].(object)
	tags, _ := doc["tags"].([]any)
	if definitions == nil || paths == nil {
		return nil, nil, fmt.Errorf("the OpenAPI document has no paths or no definitions")
	}
	definitions["Error"] = errorSchema
	paths[rowsPath+"{table}"] = rowsOperation()
	paths[sessionPath] = sessionOperations()
	served := map[any]bool{}
	for _, path := range paths {
		operations, _ := path.(object)
		for _, o := range operations {
			operation, _ := o.(object)
			tellRole(operation)
			names, _ := operation["tags"].([]any)
			for _, name := range names {
				served[name] = true
			}
			responses, _ := operation["responses"].(object)
			if responses == nil {
				return nil, nil, fmt.Errorf("an operation of the OpenAPI document has no responses")
			}
			responses["default"] = object{"description": "An error.", "schema": object{"$ref": "#/definitions/Error"}}
			good, _ := responses["200"].(object)
			if text, ok := good["description"].(string); ok && strings.HasSuffix(text, "(streaming responses)") {
				operation["produces"] = []string{"application/x-ndjson", "text/event-stream"}
				good["description"] = `One {"result": …} per line, or per event as data; a stream that breaks ends in {"error": …}.`
				schema, _ := good["schema"].(object)
				if properties, ok := schema["properties"].(object); ok {
					properties["error"] = object{"$ref": "#/definitions/Error/properties/error"}
				}
			}
		}
	}
	doc["tags"] = slices.DeleteFunc(tags, func(t any) bool {
		tag, _ := t.(object)
		return !served[tag["name"]]
	})
	text, err = json.MarshalIndent(doc, "", "  ")
	return text, routesOf(paths), err
}

// tellRole adds the minimum role to an operation. Operations that are not RPCs have it
// already. The ID of another path of a method ends in a number.
func tellRole(operation object) {
	id, _ := operation["operationId"].(string)
	name := orchestratorv1.File_afterbell_orchestrator_v1_run_service_proto.Package() + "." + protoreflect.FullName(strings.TrimRight(strings.ReplaceAll(id, "_", "."), "0123456789"))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	method, ok := found.(protoreflect.MethodDescriptor)
	if err != nil || !ok {
		return
	}
	role, _ := proto.GetExtension(method.Options(), authv1.E_Role).(authv1.Role)
	before, _ := operation["description"].(string)
	operation["description"] = strings.TrimSpace(before + "\n\nRequires the role " + strings.ToLower(strings.TrimPrefix(role.String(), "ROLE_")) + ".")
}

// errorSchema describes errorBody.
var errorSchema = object{
	"type": "object",
	"properties": object{"error": object{
		"type": "object",
		"properties": object{
			"code":    object{"type": "integer", "format": "int32", "description": "The canonical gRPC code."},
			"status":  object{"type": "string", "description": "The code's name. Example: INVALID_ARGUMENT."},
			"message": object{"type": "string", "description": "One sentence for a person."},
			"details": object{
				"type": "array", "description": "The details of google.rpc.Status; one google.rpc.ErrorInfo is always among them.",
				"items": object{"type": "object", "properties": object{"@type": object{"type": "string"}}, "additionalProperties": true},
			},
		},
	}},
}
