package tidings

import "testing"

// These are on the wire: a change of this table renames topics.
func TestPluralAndKebabStayAsTheyAre(t *testing.T) {
	t.Parallel()
	plurals := map[string]string{
		"cashier": "cashiers", "cashiers": "cashiers", "invoice": "invoices", "category": "categories", "day": "days", "box": "boxes",
		"branch": "branches", "status": "statuses", "address": "addresses", "basis": "basises", "person": "people", "data": "data",
		"payment-method": "payment-methods", "sales-person": "sales-people", "inventory": "inventory", "": "",
	}
	for noun, want := range plurals {
		if got := plural(noun); got != want {
			t.Errorf("plural(%q) = %q, want %q", noun, got, want)
		}
	}
	kebabs := map[string]string{
		"Cashier": "cashier", "PaymentMethod": "payment-method", "HTTPServer": "http-server", "userID": "user-id", "already-kebab": "already-kebab",
		"snake_case": "snake-case", "V2Thing": "v2-thing", "": "",
	}
	for name, want := range kebabs {
		if got := kebab(name); got != want {
			t.Errorf("kebab(%q) = %q, want %q", name, got, want)
		}
	}
}
