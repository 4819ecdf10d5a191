// Package paysys holds what the services of the sample payment system share with
// the outside: their database schemas. See README.md for the map.
package paysys

import _ "embed"

// Schemas as plain SQL for an empty database, one for each service that has
// one. The services never run them; harnesses and tests do.
var (
	//go:embed schema.sql
	Schema string // payments
	//go:embed orders.sql
	OrdersSchema string
	//go:embed inventory.sql
	InventorySchema string
	//go:embed notify.sql
	NotifySchema string
)
