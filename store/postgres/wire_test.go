package postgres

import (
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/sqlrow"
)

func FuzzSnapshot(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9}, uint64(7))
	f.Add((&world{nextTxid: 9, open: []*simTx{{txid: 5}, {txid: 7}}}).snapshot(), uint64(7))
	f.Fuzz(func(t *testing.T, b []byte, txid uint64) {
		s, err := decodeSnapshot(b)
		if err != nil {
			return
		}
		if len(s.running) != int(binary.BigEndian.Uint32(b)) {
			t.Errorf("%d transactions run, the server says %d", len(s.running), binary.BigEndian.Uint32(b))
		}
		if s.xmin <= s.xmax && s.xmax <= neverTxid && s.sees(txid) && txid >= s.xmax {
			t.Errorf("%v sees the transaction %d", s, txid)
		}
	})
}

func TestAHorizonIsWhatASnapshotDoesNotSee(t *testing.T) {
	t.Parallel()
	s, err := decodeSnapshot((&world{nextTxid: 9, open: []*simTx{{txid: 7}, {txid: 5}}}).snapshot())
	if err != nil {
		t.Fatal(err)
	}
	for txid := range uint64(12) {
		if h := horizonOf(s); h.has(txid) == s.sees(txid) {
			t.Errorf("transaction %d: the horizon %v has it, %v, and the snapshot %v sees it, %v", txid, h, h.has(txid), s, s.sees(txid))
		}
	}
	older, err := decodeSnapshot((&world{nextTxid: 6, open: []*simTx{{txid: 3}}}).snapshot())
	if err != nil {
		t.Fatal(err)
	}
	if h, want := horizonOf(s, older), (horizon{xmax: 6, running: []uint64{3, 5}}); !reflect.DeepEqual(h, want) {
		t.Errorf("the horizon of both is %v, want %v", h, want)
	}
	if h := horizonOf(s, nil); h.xmax != 0 || h.running != nil {
		t.Errorf("the horizon of who has seen nothing is %v", h)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add([]byte("\x01a\x02bc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		want, wantErr := sqlrow.DecodeHeaders(b)
		got, err := appendHeaders(nil, string(b))
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v; want %v, %v", got, err, want, wantErr)
		}
	})
}

// BenchmarkAnswer is what the client does for each row that is read.
func BenchmarkAnswer(b *testing.B) {
	l := &lane{wire: simLane(0)}
	row := simRow{txid: 7, id: 1}.wire(armForward)
	row[colTopic], row[colKey], row[colDedup] = []byte("orders"), []byte("key 42"), []byte("0193d7a1-0000-7000-8000-000000000001")
	row[colHeaders] = sqlrow.EncodeHeaders([]broker.Header{{Name: "ce-type", Value: "tickets.BookingMade.v1"}, {Name: "ce-source", Value: "/tickets"}})
	row[colValue] = make([]byte, 500)
	q := &question{lanes: map[string]*lane{l.wire: l}, limit: 1000, bytes: chunkBytes}
	b.ReportAllocs()
	for range b.N/1000 + 1 {
		a := q.scratch.again()
		for n := range 1000 {
			binary.BigEndian.PutUint64(row[colID], uint64(n+1))
			if err := q.take(a, row); err != nil {
				b.Fatal(err)
			}
		}
		if err := q.finish(a); err != nil {
			b.Fatal(err)
		}
		q.scratch = a
	}
}
