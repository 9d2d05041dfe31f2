package cloudevents

import "strings"

// kafkaNames are the usual names in both forms, so that translating them allocates nothing.
var kafkaNames = [...]struct{ canonical, wire string }{
	{specVersion, "ce_specversion"},
	{"ce-id", "ce_id"},
	{"ce-source", "ce_source"},
	{eventType, "ce_type"},
	{eventTime, "ce_time"},
	{contentType, contentType},
	{"ce-partitionkey", "ce_partitionkey"},
	{"ce-subject", "ce_subject"},
	{"ce-correlationid", "ce_correlationid"},
	{"ce-causationid", "ce_causationid"},
	{"ce-traceparent", "ce_traceparent"},
	{"ce-tracestate", "ce_tracestate"},
	{"ce-dataschema", "ce_dataschema"},
}

func toKafka(name string) string {
	for i := range kafkaNames {
		if kafkaNames[i].canonical == name {
			return kafkaNames[i].wire
		}
	}
	if attribute, ok := strings.CutPrefix(name, "ce-"); ok {
		return "ce_" + attribute
	}
	return name
}

func fromKafka(wireName string) string {
	for i := range kafkaNames {
		if kafkaNames[i].wire == wireName {
			return kafkaNames[i].canonical
		}
	}
	switch {
	case hasPrefixFold(wireName, "ce_"):
		return "ce-" + strings.ToLower(wireName[len("ce_"):])
	case strings.EqualFold(wireName, contentType):
		return contentType
	default:
		return wireName
	}
}
