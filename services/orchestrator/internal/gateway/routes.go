package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// route is a served path, as in the document.
type route struct {
	parts []string
	verb  string          // ":watch" in /v1/runs/{runId}:watch
	query map[string]bool // by method: whether it reads a query
}

// routesOf reads the routes from the document's paths.
func routesOf(paths object) []route {
	var routes []route
	for path, operations := range paths {
		r := route{query: map[string]bool{}}
		if i := strings.LastIndex(path, "}:"); i >= 0 {
			path, r.verb = path[:i+1], path[i+1:]
		}
		r.parts = strings.Split(path, "/")
		operations, _ := operations.(object)
		for method, o := range operations {
			operation, _ := o.(object)
			parameters, _ := operation["parameters"].([]any)
			r.query[strings.ToUpper(method)] = slices.ContainsFunc(parameters, func(p any) bool {
				parameter, _ := p.(object)
				return parameter["in"] == "query"
			})
		}
		routes = append(routes, r)
	}
	return routes
}

func (r route) matches(path string) bool {
	path, ok := strings.CutSuffix(path, r.verb)
	parts := strings.Split(path, "/")
	return ok && slices.EqualFunc(r.parts, parts, func(want, got string) bool {
		return want == got || strings.HasPrefix(want, "{") && got != ""
	})
}

// allowed are the methods of a path, for the Allow header.
func (g *gateway) allowed(u *url.URL) string {
	methods := map[string]bool{}
	for _, r := range g.routes {
		if r.matches(u.EscapedPath()) {
			maps.Copy(methods, r.query)
			if _, ok := r.query[http.MethodGet]; ok && !streams(u.Path) {
				methods[http.MethodHead] = true
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
}

// refuseQuery rejects parameters of a path that has none; grpc-gateway would ignore them.
func (g *gateway) refuseQuery(method string, u *url.URL, query url.Values) error {
	if len(query) == 0 {
		return nil
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var found *route
	for i := range g.routes {
		r := &g.routes[i]
		if _, ok := r.query[method]; ok && r.matches(u.EscapedPath()) && (found == nil || r.verb != "") {
			found = r
		}
	}
	if found == nil || found.query[method] {
		return nil
	}
	key := slices.Min(slices.Collect(maps.Keys(query)))
	return fault.Invalid(clip(key), "is not a known parameter; %s takes none", clip(u.Path))
}
