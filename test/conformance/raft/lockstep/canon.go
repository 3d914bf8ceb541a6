// What is compared of the two sides: a sequence of numbers, mixed into a digest, and on demand
// the same sequence as text with its names.
package main

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strings"

	"go.etcd.io/etcd/raft"
	pb "go.etcd.io/etcd/raft/raftpb"
	"go.etcd.io/etcd/raft/tracker"
)

type canon struct {
	digest   uint64
	withText bool
	text     strings.Builder
}

func (c *canon) begin(withText bool) {
	c.digest = 0x9e3779b97f4a7c15
	c.withText = withText
	c.text.Reset()
}

func (c *canon) put(name string, value uint64) {
	h := (c.digest ^ value) * 0xff51afd7ed558ccd
	c.digest = h ^ h>>32
	if c.withText {
		fmt.Fprintf(&c.text, "%s=%d ", name, value)
	}
}

func (c *canon) flag(name string, value bool) {
	if value {
		c.put(name, 1)
	} else {
		c.put(name, 0)
	}
}

func (c *canon) note(text string) {
	if c.withText {
		c.text.WriteString(text + "\n")
	}
}

func (c *canon) ids(name string, ids []uint64) {
	c.put(name, uint64(len(ids)))
	for _, id := range ids {
		c.put("", id)
	}
}

func (c *canon) set(name string, set map[uint64]struct{}) {
	ids := make([]uint64, 0, len(set))
	for id := range set {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	c.ids(name, ids)
}

func (c *canon) conf(name string, conf pb.ConfState) {
	c.note(name)
	c.ids("voters", conf.Voters)
	c.ids("learners", conf.Learners)
	c.ids("outgoing", conf.VotersOutgoing)
	c.ids("next", conf.LearnersNext)
	c.flag("auto", conf.AutoLeave)
}

func readContext(origin, sequence uint64) []byte {
	bytes := make([]byte, 16)
	binary.LittleEndian.PutUint64(bytes, origin)
	binary.LittleEndian.PutUint64(bytes[8:], sequence)
	return bytes
}

func (c *canon) read(bytes []byte) {
	if len(bytes) < 16 {
		c.put("read", 0)
		c.put("", 0)
		return
	}
	c.put("read", binary.LittleEndian.Uint64(bytes))
	c.put("", binary.LittleEndian.Uint64(bytes[8:]))
}

// Pads a change so that it has the size of ours: limits count sizes.
func changeOf(r record) pb.ConfChangeI {
	types := []pb.ConfChangeType{pb.ConfChangeAddNode, pb.ConfChangeRemoveNode,
		pb.ConfChangeUpdateNode, pb.ConfChangeAddLearnerNode}
	count := int(r.a & 0xff)
	single := func(i int) pb.ConfChangeSingle {
		packed := r.b >> (16 * uint(i))
		return pb.ConfChangeSingle{Type: types[packed&3], NodeID: packed >> 4 & 0xfff}
	}
	if r.flags&flagYes != 0 {
		one := single(0)
		cc := pb.ConfChange{Type: one.Type, NodeID: one.NodeID}
		cc.Context = make([]byte, 8+9-cc.Size()-2)
		return cc
	}
	cc := pb.ConfChangeV2{Transition: pb.ConfChangeTransition(r.a >> 8)}
	for i := 0; i < count; i++ {
		cc.Changes = append(cc.Changes, single(i))
	}
	cc.Context = make([]byte, 8+9*count-cc.Size()-2)
	return cc
}

func decodeChange(e pb.Entry) pb.ConfChangeV2 {
	if e.Type == pb.EntryConfChange {
		var one pb.ConfChange
		must(one.Unmarshal(e.Data))
		return one.AsV2()
	}
	var cc pb.ConfChangeV2
	must(cc.Unmarshal(e.Data))
	return cc
}

func (c *canon) entry(e *pb.Entry) {
	c.put("entry", e.Index)
	c.put("term", e.Term)
	c.put("type", uint64(e.Type))
	if e.Type != pb.EntryNormal {
		cc := decodeChange(*e)
		c.put("transition", uint64(cc.Transition))
		c.put("changes", uint64(len(cc.Changes)))
		for _, one := range cc.Changes {
			c.put("type", uint64(one.Type))
			c.put("node", one.NodeID)
		}
		return
	}
	c.put("bytes", uint64(len(e.Data)))
	if len(e.Data) >= 8 {
		c.put("content", binary.LittleEndian.Uint64(e.Data))
	}
}

func (c *canon) entries(name string, entries []pb.Entry) {
	c.put(name, uint64(len(entries)))
	for i := range entries {
		c.entry(&entries[i])
	}
}

func (c *canon) snapshot(s *pb.Snapshot) {
	c.put("snapshot", s.Metadata.Index)
	if s.Metadata.Index == 0 {
		return
	}
	c.put("term", s.Metadata.Term)
	c.conf("conf", s.Metadata.ConfState)
}

// In the order of MessageType in core/raft/types.h.
var messageTypes = map[pb.MessageType]uint64{
	pb.MsgApp: 1, pb.MsgAppResp: 2, pb.MsgVote: 3, pb.MsgVoteResp: 4, pb.MsgPreVote: 5,
	pb.MsgPreVoteResp: 6, pb.MsgSnap: 7, pb.MsgHeartbeat: 8, pb.MsgHeartbeatResp: 9,
	pb.MsgTimeoutNow: 10, pb.MsgReadIndex: 11, pb.MsgReadIndexResp: 12, pb.MsgTransferLeader: 13,
	pb.MsgProp: 14,
}

func (c *canon) message(m *pb.Message) {
	c.put("\nmessage", messageTypes[m.Type])
	c.put("from", m.From)
	c.put("to", m.To)
	c.put("term", m.Term)
	c.put("log term", m.LogTerm)
	c.put("index", m.Index)
	c.put("commit", m.Commit)
	c.flag("reject", m.Reject)
	c.put("hint", m.RejectHint)
	switch m.Type {
	case pb.MsgVote, pb.MsgPreVote:
		c.flag("transfer", len(m.Context) > 0)
	case pb.MsgHeartbeat, pb.MsgHeartbeatResp:
		c.read(m.Context)
	case pb.MsgReadIndex, pb.MsgReadIndexResp:
		c.read(m.Entries[0].Data)
	case pb.MsgSnap:
		c.snapshot(&m.Snapshot)
	default:
		c.entries("entries", m.Entries)
	}
}

func (c *canon) ready(rd raft.Ready) {
	c.note("\nready")
	if rd.SoftState != nil {
		c.put("soft", 1)
		c.put("leader", rd.SoftState.Lead)
		c.put("role", role(rd.SoftState.RaftState))
	} else {
		c.put("soft", 0)
	}
	if !raft.IsEmptyHardState(rd.HardState) {
		c.put("hard", 1)
		c.put("term", rd.HardState.Term)
		c.put("vote", rd.HardState.Vote)
		c.put("commit", rd.HardState.Commit)
	} else {
		c.put("hard", 0)
	}
	c.snapshot(&rd.Snapshot)
	c.entries("append", rd.Entries)
	c.entries("committed", rd.CommittedEntries)
	// The reference leaves a snapshot's durability to others.
	c.flag("sync", rd.MustSync || !raft.IsEmptySnap(rd.Snapshot))
	c.put("reads", uint64(len(rd.ReadStates)))
	for _, state := range rd.ReadStates {
		c.read(state.RequestCtx)
		c.put("at", state.Index)
	}
	c.put("messages", uint64(len(rd.Messages)))
	for i := range rd.Messages {
		c.message(&rd.Messages[i])
	}
}

// In the order of Role in core/raft/types.h.
func role(state raft.StateType) uint64 {
	switch state {
	case raft.StatePreCandidate:
		return 1
	case raft.StateCandidate:
		return 2
	case raft.StateLeader:
		return 3
	}
	return 0
}

func (c *canon) progress(id uint64, pr *tracker.Progress) {
	c.put("\nprogress", id)
	c.put("match", pr.Match)
	c.put("next", pr.Next)
	c.put("state", uint64(pr.State))
	c.put("pending", pr.PendingSnapshot)
	c.flag("active", pr.RecentActive)
	c.flag("paused", pr.ProbeSent)
	c.flag("learner", pr.IsLearner)
	c.put("inflight", uint64(pr.Inflights.Count()))
}

func (c *canon) node(n *node, handled bool) {
	status := n.raw.BasicStatus()
	c.note("\nnode")
	c.put("id", n.id)
	c.put("role", role(status.RaftState))
	c.put("leader", status.Lead)
	c.put("term", status.HardState.Term)
	c.put("vote", status.HardState.Vote)
	c.put("commit", status.HardState.Commit)
	c.put("applied", status.Applied)
	c.put("transferee", status.LeadTransferee)
	leads := status.RaftState == raft.StateLeader
	if !leads && !handled {
		return
	}
	first, _ := n.disk.FirstIndex()
	last, _ := n.disk.LastIndex()
	term, _ := n.disk.Term(last)
	c.put("first", first)
	c.put("last", last)
	c.put("last term", term)
	full := n.raw.Status()
	c.set("voters", full.Config.Voters[0])
	c.set("learners", full.Config.Learners)
	c.set("outgoing", full.Config.Voters[1])
	c.set("next", full.Config.LearnersNext)
	if !leads {
		return
	}
	ids := make([]uint64, 0, 8)
	for id := range full.Progress {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	for _, id := range ids {
		pr := full.Progress[id]
		c.progress(id, &pr)
	}
}
