package brokertest

func disturbanceScenarios() []scenario { return nil }
func boundScenarios() []scenario       { return nil }
