package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings"
)

func describeCommand(from *source) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "describe",
		Short: "Print modules, events, subscriptions, requests, topics and who owns what",
		Long: "Print what the service consists of. Neither broker nor store is needed. The output is sorted, so a file of it shows a change of the\n" +
			"topology as a difference: keep one beside the code, and let a test or CI compare.",
		Example: "  shop describe\n  shop describe -o mermaid > docs/topology.mmd",
		Args:    NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := from.description()
			if err != nil {
				return err
			}
			switch format {
			case "text":
				return describeText(cmd.OutOrStdout(), &d)
			case "json":
				return printJSON(cmd.OutOrStdout(), d)
			case "mermaid":
				return describeMermaid(cmd.OutOrStdout(), &d)
			default:
				return usageError{fmt.Errorf("--output %q: want text, json or mermaid", format)}
			}
		},
	}
	if from.app == nil {
		cmd.Flags().StringVar(&from.manifest, "manifest", "", "the file that the service's command manifest wrote")
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "how to print: text, json or mermaid")
	return cmd
}

// description is what is known without a broker.
func (s *source) description() (tidings.Description, error) {
	switch {
	case s.app != nil:
		return s.app.Describe()
	case s.manifest != "":
		return readManifest(s.manifest)
	default:
		return tidings.Description{}, usageError{errors.New("--manifest: name the file that the service's command manifest wrote, or use the service's own binary")}
	}
}

func describeText(w io.Writer, d *tidings.Description) error {
	p := &page{table: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	p.row("SERVICE %s, owns %s", d.Service, list(d.Owns))
	p.head("MODULE", "DEPENDS ON", "EMITS", "SERVES", "CALLS")
	for _, m := range d.Modules {
		p.row("%s\t%s\t%s\t%s\t%s", m.Name, list(m.DependsOn), list(m.Emits), list(m.Serves), list(m.Calls))
	}
	p.head("EVENT", "SCOPE", "OWNERS", "KEY", "PUBLISHED TO", "READ FROM", "EVOLVES FROM")
	for _, e := range d.Events {
		p.row("%s\t%s\t%s\t%s\t%s\t%s\t%s", e.Type, e.Scope, list(e.Owners), list(e.Key), or(e.PublishTopic), or(e.ReadTopic), or(e.Older))
	}
	p.head("SUBSCRIPTION", "MODULE", "REACTIONS", "TOPICS", "ON FAILURE")
	for _, s := range d.Subscriptions {
		p.row("%s\t%s\t%s\t%s\t%s", s.Group, s.Module, reactions(s.Reactions), list(s.Topics), s.OnFailure)
	}
	p.head("LISTENER", "QUEUE", "REACTIONS")
	for _, l := range d.Listeners {
		p.row("%s\t%s\t%s", l.Module, or(l.Queue), reactions(l.Reactions))
	}
	p.head("REQUEST", "KIND", "SCOPE", "PROVIDER", "VERB", "CALLERS")
	for _, r := range d.Requests {
		p.row("%s\t%s\t%s\t%s\t%s\t%s", r.Type, kind(r.Verb), r.Scope, or(r.Provider), or(r.Verb), list(r.Callers))
	}
	p.head("TOPIC", "PUBLISHERS", "READERS", "SETTINGS")
	for _, t := range d.Topics {
		p.row("%s\t%s\t%s\t%s", t.Name, list(t.Publishers), list(t.Readers), list(settings(&t)))
	}
	return p.table.Flush()
}

// settings are those of a topic that are not the broker's own.
func settings(t *tidings.DescribedTopic) (all []string) {
	add := func(says bool, format string, args ...any) {
		if says {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(t.External, "external")
	add(t.Compact, "compact")
	add(t.Partitions > 0, "partitions: %d", t.Partitions)
	add(t.Replication > 0, "replication: %d", t.Replication)
	add(t.Retention != "", "retention: %s", t.Retention)
	add(t.MaxBytes > 0, "bytes: %d", t.MaxBytes)
	return all
}

// page is a text of several tables. A heading is printed with the first row under it.
type page struct {
	table   *tabwriter.Writer
	heading string
}

func (p *page) head(columns ...string) { p.heading = "\n" + strings.Join(columns, "\t") + "\n" }

func (p *page) row(format string, args ...any) {
	_, _ = fmt.Fprintf(p.table, p.heading+format+"\n", args...) // Flush says what went wrong
	p.heading = ""
}

func list(names []string) string { return or(strings.Join(names, ", ")) }

func or(name string) string {
	if name == "" {
		return "-"
	}
	return name
}

func reactions(all []tidings.DescribedReaction) string {
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.Verb + " " + r.Event
		if len(r.Older) > 0 {
			names[i] += " (and " + strings.Join(r.Older, ", ") + ")"
		}
	}
	return list(names)
}

// describeMermaid draws how modules, topics, subscriptions and requests hang together. What goes by a topic is a line, what is gone when nobody hears it is dotted.
func describeMermaid(w io.Writer, d *tidings.Description) error {
	g := &graph{ids: map[string]string{}}
	g.line("flowchart LR")
	for _, m := range d.Modules {
		g.line("  %s[%s]", g.id("module "+m.Name), label(m.Name))
	}
	for _, t := range d.Topics {
		g.line("  %s([%s])", g.id("topic "+t.Name), label(t.Name))
		for _, m := range t.Publishers {
			g.line("  %s -->|%s| %s", g.id("module "+m), label(published(d, m, t.Name)...), g.id("topic "+t.Name))
		}
	}
	for _, s := range d.Subscriptions {
		for _, topic := range s.Topics {
			g.line("  %s -->|%s| %s", g.id("topic "+topic), label(s.Name), g.id("module "+s.Module))
		}
	}
	for _, l := range d.Listeners {
		for _, topic := range heard(d, l.Reactions) {
			g.line("  %s -.->|%s| %s", g.id("topic "+topic), label(strings.TrimSpace("listener "+l.Queue)), g.id("module "+l.Module))
		}
	}
	for _, r := range d.Requests {
		g.line("  %s{{%s}}", g.id("request "+r.Type), label(kind(r.Verb), r.Type))
		if r.Provider != "" {
			g.line("  %s -.-> %s", g.id("request "+r.Type), g.id("module "+r.Provider))
		}
		for _, caller := range r.Callers {
			g.line("  %s -.-> %s", g.id("module "+caller), g.id("request "+r.Type))
		}
	}
	_, err := io.WriteString(w, g.text.String())
	return err
}

// published are the types of the events that a module publishes to a topic.
func published(d *tidings.Description, module, topic string) (types []string) {
	for _, e := range d.Events {
		if e.PublishTopic == topic && slices.Contains(e.Owners, module) {
			types = append(types, e.Type)
		}
	}
	return types
}

// heard are the topics of a listener's events.
func heard(d *tidings.Description, reactions []tidings.DescribedReaction) (topics []string) {
	for _, e := range d.Events {
		if slices.ContainsFunc(reactions, func(r tidings.DescribedReaction) bool { return r.Event == e.Type || slices.Contains(r.Older, e.Type) }) {
			topics = append(topics, e.ReadTopic)
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// kind tells a command from other requests, as far as the app knows who answers.
func kind(verb string) string {
	if verb == "Handle" || verb == "HandleTx" {
		return "command"
	}
	return "request"
}

// graph numbers its nodes, because names of topics are no names of nodes.
type graph struct {
	text strings.Builder
	ids  map[string]string
}

func (g *graph) line(format string, args ...any) { fmt.Fprintf(&g.text, format+"\n", args...) }

func (g *graph) id(node string) string {
	if g.ids[node] == "" {
		g.ids[node] = fmt.Sprintf("n%d", len(g.ids)+1)
	}
	return g.ids[node]
}

// label is a text of several lines that Mermaid takes as it is: names of ours have no quotes.
func label(lines ...string) string { return `"` + strings.Join(lines, "<br/>") + `"` }
