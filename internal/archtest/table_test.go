package archtest_test

// picture has a row for each package: its name, an arrow, what it may import. Everybody may import the standard library.
// A name with a dot in its first part is a module of somebody else and stands for all of its packages; any other name is a
// package of ours, where "tidings" is the root and "x/..." is x with all below it. What stands after "tests:" is for test
// files only, besides what kits allows to all of them. No row may break the rules in never.
const picture = `
# The ports, and what they share with their adapters.
broker                  <-
store                   <- broker
internal/lease          <-
internal/cloudevents    <- broker
internal/room           <-
internal/checks         <- broker
internal/sqlrow         <- store broker

# The engines behind the root package.
internal/consume        <- broker
internal/outbox         <- broker store   tests: store/sqlite
internal/hold           <- broker store internal/consume   tests: internal/admin

# What people do with rows.
internal/admin          <- broker store internal/cloudevents github.com/google/uuid   tests: store/sqlite store/postgres

# The code that "tidings new" writes.
internal/scaffold       <-

# What a service author touches.
tidings                 <- broker store internal/cloudevents internal/consume internal/hold internal/outbox github.com/google/uuid   tests: embedded broker/nats broker/kafka store/sqlite store/postgres internal/admin

# What is built on subscriptions.
httpapi                 <- tidings
forward                 <- tidings broker   tests: store store/sqlite
lake                    <- tidings broker store   tests: forward store/sqlite github.com/google/uuid github.com/jackc/pgx
sse                     <-

# Adapters: a port and one library each.
broker/memory           <- broker
broker/nats             <- broker internal/room internal/checks internal/lease internal/cloudevents github.com/nats-io/nats.go   tests: github.com/nats-io/nats-server
broker/kafka            <- broker internal/cloudevents github.com/twmb/franz-go
store/memory            <- store broker
store/sqlite            <- store broker internal/sqlrow modernc.org/sqlite github.com/gofrs/flock
store/postgres          <- store broker internal/sqlrow github.com/jackc/pgx   tests: broker/kafka internal/outbox github.com/twmb/franz-go
broker/redis            <- broker internal/room internal/checks internal/lease internal/cloudevents github.com/redis/go-redis
embedded                <- broker/nats store/sqlite broker store github.com/nats-io/nats-server github.com/nats-io/nats.go github.com/gofrs/flock

# What surrounds an app.
connect                 <- broker broker/... store store/... embedded github.com/nats-io/nats.go github.com/redis/go-redis
cli                     <- tidings connect broker store internal/cloudevents github.com/spf13/cobra
tidingstest             <- tidings broker broker/memory store store/memory

# Programs.
cmd/tidings             <- cli connect internal/admin internal/outbox internal/scaffold embedded broker broker/nats store store/sqlite examples/tickets/demo examples/tickets/platform github.com/spf13/cobra   tests: github.com/nats-io/nats-server github.com/nats-io/nats.go
examples/tickets        <- cli examples/tickets/demo   tests: examples/internal/program examples/internal/trial examples/tickets/platform tidingstest github.com/redis/go-redis
examples/tickets/demo   <- cli connect sse examples/tickets/platform github.com/spf13/cobra
examples/tickets/platform <- tidings broker store forward lake sse github.com/google/uuid   tests: examples/internal/trial store/sqlite store/postgres github.com/chromedp
examples/internal/program <- tidings broker store httpapi
examples/delivery       <- tidings broker connect httpapi examples/internal/program examples/delivery/order examples/delivery/tracking examples/delivery/payment examples/delivery/notification examples/delivery/audit github.com/google/uuid   tests: examples/internal/trial tidingstest github.com/nats-io/nats.go
examples/delivery/order <- tidings store   tests: examples/internal/trial
examples/delivery/tracking <- tidings store examples/delivery/order   tests: examples/internal/trial
examples/delivery/payment <- tidings store examples/delivery/order
examples/delivery/notification <- tidings   tests: tidingstest
examples/delivery/audit <- tidings store examples/delivery/order   tests: tidingstest
examples/cashiers       <- tidings broker connect httpapi examples/internal/program examples/cashiers/appdomain examples/cashiers/invoicing examples/cashiers/notifications github.com/google/uuid   tests: examples/internal/trial tidingstest
examples/cashiers/appdomain <- tidings store   tests: examples/internal/trial
examples/cashiers/invoicing <- tidings store   tests: examples/internal/trial store/sqlite
examples/cashiers/notifications <- tidings store examples/cashiers/appdomain examples/cashiers/invoicing   tests: examples/internal/trial
examples/shop           <- tidings broker store connect httpapi examples/internal/program examples/shop/contract examples/shop/customer examples/shop/product examples/shop/reader github.com/google/uuid   tests: examples/internal/trial tidingstest
examples/shop/contract  <- tidings github.com/google/uuid
examples/shop/customer  <- tidings store examples/shop/contract github.com/google/uuid   tests: examples/internal/trial store/sqlite
examples/shop/product   <- tidings store examples/shop/contract github.com/google/uuid   tests: examples/internal/trial broker
examples/shop/reader    <- tidings store examples/shop/customer examples/shop/product github.com/google/uuid   tests: examples/internal/trial broker store/sqlite
examples/hello          <- tidings embedded store/sqlite
docs/boxoffice          <- tidings cli connect httpapi store
docs/snippets           <-   tests: tidings tidingstest broker store store/sqlite

# Test kits, and what only tests import.
examples/internal/trial <- tidings connect httpapi internal/testenv store/sqlite github.com/twmb/franz-go
broker/brokertest       <- broker internal/consume internal/testenv go.uber.org/goleak pgregory.net/rapid
store/storetest         <- store broker internal/consume internal/testenv go.uber.org/goleak pgregory.net/rapid
internal/testenv        <-
internal/archtest       <-
internal/docstest       <-   tests: github.com/jackc/pgx
internal/chaos          <-   tests: tidings broker broker/nats broker/kafka store store/sqlite store/postgres internal/admin
`

// kits are what the test files of every package may import.
const kits = "broker/brokertest store/storetest broker/memory store/memory internal/testenv go.uber.org/goleak pgregory.net/rapid"

// never says what no row may allow, whoever edits the table: "who" may not import "what", with a few exceptions.
var never = []struct{ who, what, except, because string }{
	{who: "broker/...", what: "tidings", because: "an adapter knows its port and nothing above it"},
	{who: "store/...", what: "tidings", because: "an adapter knows its port and nothing above it"},
	{who: "internal/...", what: "tidings", except: "internal/chaos", because: "the root package imports the engines, not the other way round"},
	{who: "broker/...", what: "store/...", because: "a broker knows nothing of databases"},
	{who: "broker/...", what: "broker/memory broker/nats broker/kafka broker/redis", because: "adapters do not import each other"},
	{who: "store/...", what: "store/memory store/sqlite store/postgres", because: "adapters do not import each other"},
	{who: "...", what: "examples/...", except: "cmd/tidings examples/...", because: "an example is an end, not a part"},
	{who: "...", what: "internal/archtest", because: "it is a test"},
}
