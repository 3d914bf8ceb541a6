// The reference's side of the lockstep test: a group of raw nodes of the packaged raft that does
// what it is told on its standard input and answers each input with a digest of all it can see of
// the node that was touched. The other side draws the inputs, does the same with our core and
// compares. protocol.h has the records; canon.go has what is compared.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"go.etcd.io/etcd/raft"
	pb "go.etcd.io/etcd/raft/raftpb"
)

const (
	opWorld = iota
	opCampaign
	opPropose
	opProposeChange
	opReadIndex
	opTransfer
	opTick
	opDeliver
	opDrop
	opRestart
	opCompact
	opUnreachable
	opSnapshotStatus
	opReady
	opSnapshotAvailable
)

const (
	flagSettle = 1 // handle what is ready until nothing is
	flagText   = 2 // answer with text behind the digest
	flagKeep   = 4 // deliver a copy, keep the message
	flagYes    = 8 // of the input's own question
)

const (
	poolMax       = 256
	recordBytes   = 16
	settingsWords = 16
	payloads      = 1024
	payloadUnit   = 4096
	panicked      = ^uint64(0)
)

type record struct {
	op    byte
	node  byte
	flags uint16
	a     uint32
	b     uint64
}

type settings struct {
	nodes, voters, learners      uint64
	preVote, checkQuorum, leases bool
	noForwarding                 bool
	messageBytes, inflight       uint64
	uncommittedBytes             uint64
	committedBytes               uint64
	electionTicks                int
	heartbeatTicks               int
	bootIndex                    uint64
}

type node struct {
	id      uint64
	raw     *raft.RawNode
	disk    *disk
	conf    pb.ConfState // as of applied
	applied uint64
}

// The reference's storage, which can refuse its snapshot for a while and knows the configuration
// that the state machine had when it was stopped.
type disk struct {
	*raft.MemoryStorage
	conf        pb.ConfState
	unavailable bool
}

func (d *disk) InitialState() (pb.HardState, pb.ConfState, error) {
	state, _, err := d.MemoryStorage.InitialState()
	return state, d.conf, err
}

func (d *disk) Snapshot() (pb.Snapshot, error) {
	if d.unavailable {
		return pb.Snapshot{}, raft.ErrSnapshotTemporarilyUnavailable
	}
	return d.MemoryStorage.Snapshot()
}

type silent struct{}

func (silent) Debug(...interface{})            {}
func (silent) Debugf(string, ...interface{})   {}
func (silent) Info(...interface{})             {}
func (silent) Infof(string, ...interface{})    {}
func (silent) Warning(...interface{})          {}
func (silent) Warningf(string, ...interface{}) {}
func (silent) Error(...interface{})            {}
func (silent) Errorf(string, ...interface{})   {}
func (silent) Fatal(v ...interface{})          { panic(fmt.Sprint(v...)) }
func (silent) Fatalf(f string, v ...interface{}) {
	panic(fmt.Sprintf(f, v...))
}
func (silent) Panic(v ...interface{}) { panic(fmt.Sprint(v...)) }
func (silent) Panicf(f string, v ...interface{}) {
	panic(fmt.Sprintf(f, v...))
}

type world struct {
	settings settings
	nodes    []*node // by id - 1
	pool     []pb.Message
	overflow uint64
	dead     bool // the reference panicked
	canon    canon
	payloads [payloads][]byte
}

// The size follows from the number; 0 is empty. protocol.h has the same rule.
func (w *world) makePayloads() {
	for i := range w.payloads {
		size := i % 4 * payloadUnit
		data := make([]byte, size)
		if size > 0 {
			binary.LittleEndian.PutUint64(data, uint64(i))
		}
		w.payloads[i] = data
	}
}

func bits(mask uint64) []uint64 {
	var ids []uint64
	for id := uint64(1); id < 64; id++ {
		if mask>>id&1 == 1 {
			ids = append(ids, id)
		}
	}
	return ids
}

func (w *world) begin(s settings) {
	w.settings = s
	w.nodes = nil
	w.pool = w.pool[:0]
	w.overflow = 0
	w.dead = false
	conf := pb.ConfState{Voters: bits(s.voters), Learners: bits(s.learners)}
	for id := uint64(1); id <= s.nodes; id++ {
		n := &node{id: id, disk: &disk{MemoryStorage: raft.NewMemoryStorage()}}
		if (s.voters|s.learners)>>id&1 == 1 {
			n.conf = conf
			n.applied = s.bootIndex
			snapshot := pb.Snapshot{Metadata: pb.SnapshotMetadata{
				ConfState: conf, Index: s.bootIndex, Term: 1}}
			must(n.disk.ApplySnapshot(snapshot))
			must(n.disk.SetHardState(pb.HardState{Term: 1, Commit: s.bootIndex}))
		}
		w.nodes = append(w.nodes, n)
		w.start(n)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (w *world) start(n *node) {
	s := &w.settings
	n.disk.conf = n.conf
	reads := raft.ReadOnlySafe
	if s.leases {
		reads = raft.ReadOnlyLeaseBased
	}
	raw, err := raft.NewRawNode(&raft.Config{
		ID:                        n.id,
		ElectionTick:              s.electionTicks,
		HeartbeatTick:             s.heartbeatTicks,
		Storage:                   n.disk,
		Applied:                   n.applied,
		MaxSizePerMsg:             s.messageBytes,
		MaxCommittedSizePerReady:  s.committedBytes,
		MaxUncommittedEntriesSize: s.uncommittedBytes,
		MaxInflightMsgs:           int(s.inflight),
		CheckQuorum:               s.checkQuorum,
		PreVote:                   s.preVote,
		ReadOnlyOption:            reads,
		Logger:                    silent{},
		DisableProposalForwarding: s.noForwarding,
	})
	must(err)
	n.raw = raw
}

// Entries never share memory between nodes, as they would not behind a network.
func copied(m pb.Message) pb.Message {
	if len(m.Entries) > 0 {
		m.Entries = append([]pb.Entry(nil), m.Entries...)
	}
	return m
}

func (w *world) send(m pb.Message) {
	if len(w.pool) < poolMax {
		w.pool = append(w.pool, copied(m))
		return
	}
	w.pool[w.overflow%poolMax] = copied(m)
	w.overflow++
}

func (w *world) remove(slot uint32) {
	copy(w.pool[slot:], w.pool[slot+1:])
	w.pool[len(w.pool)-1] = pb.Message{}
	w.pool = w.pool[:len(w.pool)-1]
}

// The reference panics where a change cannot be; nothing has changed then. Where there is nothing
// to leave, ours says that nothing changes.
func (n *node) change(cc pb.ConfChangeV2) (refused bool) {
	if cc.LeaveJoint() && len(n.conf.VotersOutgoing) == 0 {
		return false
	}
	defer func() {
		if r := recover(); r != nil {
			if _, bug := r.(runtime.Error); bug {
				panic(r)
			}
			if _, ok := r.(error); !ok {
				panic(r)
			}
			refused = true
		}
	}()
	n.conf = *n.raw.ApplyConfChange(cc)
	return false
}

func (w *world) ready(n *node) {
	rd := n.raw.Ready()
	w.canon.ready(rd)
	if !raft.IsEmptyHardState(rd.HardState) {
		must(n.disk.SetHardState(rd.HardState))
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		must(n.disk.ApplySnapshot(rd.Snapshot))
		n.conf = rd.Snapshot.Metadata.ConfState
		n.applied = rd.Snapshot.Metadata.Index
	}
	must(n.disk.Append(rd.Entries))
	for _, m := range rd.Messages {
		w.send(m)
	}
	for _, e := range rd.CommittedEntries {
		n.applied = e.Index
		if e.Type == pb.EntryNormal {
			continue
		}
		w.canon.flag("refused", n.change(decodeChange(e)))
		w.canon.conf("applied conf", n.conf)
	}
	n.raw.Advance(rd)
}

func code(err error) uint64 {
	switch err {
	case nil:
		return 0
	case raft.ErrProposalDropped:
		return 1
	case raft.ErrStepPeerNotFound:
		return 2
	default:
		return 3
	}
}

func (w *world) propose(n *node, r record) uint64 {
	m := pb.Message{Type: pb.MsgProp, From: n.id}
	for i := uint64(0); i < r.b; i++ {
		m.Entries = append(m.Entries, pb.Entry{Data: w.payloads[(uint64(r.a)+i)%payloads]})
	}
	return code(n.raw.Step(m))
}

func (w *world) do(r record) (result uint64, n *node) {
	n = w.nodes[(r.node+byte(len(w.nodes))-1)%byte(len(w.nodes))]
	switch r.op {
	case opCampaign:
		result = code(n.raw.Campaign())
	case opPropose:
		result = w.propose(n, r)
	case opProposeChange:
		result = code(n.raw.ProposeConfChange(changeOf(r)))
	case opReadIndex:
		n.raw.ReadIndex(readContext(n.id, r.b))
	case opTransfer:
		n.raw.TransferLeader(uint64(r.a))
	case opTick:
		for i := uint32(0); i < r.a; i++ {
			if n.raw.BasicStatus().RaftState == raft.StateLeader {
				n.raw.Tick()
			} else {
				n.raw.TickQuiesced()
			}
		}
	case opDeliver:
		m := w.pool[r.a]
		if r.flags&flagKeep == 0 {
			w.remove(r.a)
		}
		result = code(n.raw.Step(copied(m)))
	case opDrop:
		w.remove(r.a)
	case opRestart:
		w.restart(n, r.flags&flagYes != 0)
	case opCompact:
		w.compact(n, r.b)
	case opUnreachable:
		n.raw.ReportUnreachable(uint64(r.a))
	case opSnapshotStatus:
		status := raft.SnapshotFailure
		if r.flags&flagYes != 0 {
			status = raft.SnapshotFinish
		}
		n.raw.ReportSnapshot(uint64(r.a), status)
	case opReady:
		if n.raw.HasReady() {
			w.ready(n)
			result = 1
		}
	case opSnapshotAvailable:
		n.disk.unavailable = r.flags&flagYes == 0
	}
	return result, n
}

// From what the state machine kept, or from the newest snapshot.
func (w *world) restart(n *node, fromSnapshot bool) {
	if fromSnapshot {
		snapshot, err := n.disk.MemoryStorage.Snapshot()
		must(err)
		n.conf = snapshot.Metadata.ConfState
		n.applied = snapshot.Metadata.Index
	}
	w.start(n)
}

func (w *world) compact(n *node, to uint64) {
	snapshot, err := n.disk.MemoryStorage.Snapshot()
	must(err)
	if n.applied > snapshot.Metadata.Index {
		conf := n.conf
		_, err = n.disk.CreateSnapshot(n.applied, &conf, nil)
		must(err)
	}
	first, err := n.disk.FirstIndex()
	must(err)
	if to >= first {
		must(n.disk.Compact(to))
	}
}

// Does one input; what is compared is in w.canon afterwards.
func (w *world) step(r record) (alive bool) {
	w.canon.begin(r.flags&flagText != 0)
	if w.dead {
		return false
	}
	defer func() {
		if cause := recover(); cause != nil {
			w.dead = true
			alive = false
			stack := string(debug.Stack())
			w.canon.note(fmt.Sprint("panic: ", cause, "\n", stack))
			tell(cause, stack)
		}
	}()
	result, n := w.do(r)
	w.canon.put("result", result)
	handled := r.op == opReady || r.op == opRestart
	if r.flags&flagSettle != 0 {
		for n.raw.HasReady() {
			w.ready(n)
			handled = true
		}
	}
	w.canon.node(n, handled)
	return true
}

var told = map[string]bool{}

// Each place where the reference panics once, on standard error.
func tell(cause interface{}, stack string) {
	place := "?"
	for _, line := range strings.Split(stack, "\n") {
		if strings.HasPrefix(line, "go.etcd.io/etcd/raft.") {
			place = line[:strings.LastIndex(line, "(")]
			break
		}
	}
	if text := fmt.Sprintf("the reference panicked in %s: %v", place, cause); !told[text] {
		told[text] = true
		fmt.Fprintln(os.Stderr, text)
	}
}

func read(in io.Reader, words []uint64) error {
	for i := range words {
		var bytes [8]byte
		if _, err := io.ReadFull(in, bytes[:]); err != nil {
			return err
		}
		words[i] = binary.LittleEndian.Uint64(bytes[:])
	}
	return nil
}

func settingsOf(v []uint64) settings {
	return settings{
		nodes: v[0], voters: v[1], learners: v[2],
		preVote: v[3] != 0, checkQuorum: v[4] != 0, leases: v[5] != 0, noForwarding: v[6] != 0,
		messageBytes: v[7], inflight: v[8], uncommittedBytes: v[9], committedBytes: v[10],
		electionTicks: int(v[11]), heartbeatTicks: int(v[12]), bootIndex: v[13],
	}
}

func main() {
	debug.SetGCPercent(400)
	in := bufio.NewReaderSize(os.Stdin, 1<<16)
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	w := &world{}
	w.makePayloads()
	for {
		// Nothing more is there to read: whoever waits for answers shall have them.
		if in.Buffered() < recordBytes {
			must(out.Flush())
		}
		var words [2]uint64
		if err := read(in, words[:]); err != nil {
			return
		}
		r := record{byte(words[0]), byte(words[0] >> 8), uint16(words[0] >> 16),
			uint32(words[0] >> 32), words[1]}
		digest := uint64(0)
		if r.op == opWorld {
			var values [settingsWords]uint64
			must(read(in, values[:]))
			w.begin(settingsOf(values[:]))
			w.canon.begin(false)
		} else if !w.step(r) {
			digest = panicked
		}
		if digest == 0 {
			digest = w.canon.digest
		}
		var answer [8]byte
		binary.LittleEndian.PutUint64(answer[:], digest)
		out.Write(answer[:])
		if r.flags&flagText != 0 {
			text := w.canon.text.String()
			binary.LittleEndian.PutUint64(answer[:], uint64(len(text)))
			out.Write(answer[:])
			out.WriteString(text)
		}
	}
}
