// Package archtest is the architecture as a table: which package may import which. Its test reads the whole module and
// fails on an import that the table does not allow and on a package that the table does not have.
//
// The table is in table_test.go. Read it from the top to see how tidings is built; a new broker or store adds one row.
package archtest
