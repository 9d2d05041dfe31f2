package platform

import (
	"maps"
	"slices"
)

// OpenAPI is the description of the API.
var OpenAPI = openAPI

// Routes are the routes of the API, such as "GET /healthz".
func (p *Platform) Routes() []string { return slices.Collect(maps.Keys((&api{p}).routes())) }
