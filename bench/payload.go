//go:build unix

package main

import "strconv"

// line and cart are a payload of ordinary size: about 430 bytes of JSON.
type line struct {
	SKU      string  `json:"sku"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}

type cart struct {
	ID       string            `json:"id" tidings:"key"`
	Customer string            `json:"customer"`
	Currency string            `json:"currency"`
	Lines    []line            `json:"lines"`
	Tags     map[string]string `json:"tags"`
	Note     string            `json:"note"`
}

func newCart(i int) cart {
	return cart{
		ID: "3b241101-e2bb-4255-8caf-" + strconv.Itoa(100000000000+i%1000), Customer: "c-4711", Currency: "EUR",
		Lines: []line{{"A-100", 2, 19.99}, {"B-200", 1, 5.49}, {"C-300", 12, 0.99}, {"D-400", 3, 149}},
		Tags:  map[string]string{"channel": "web", "campaign": "autumn"},
		Note:  "Please ring twice; the bell is hard to hear from the kitchen when the radio is on.",
	}
}
