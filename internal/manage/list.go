package manage

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"calotype/internal/apiclient"
	"calotype/internal/terminal"
)

// maxListed bounds --limit.
const maxListed = 10_000

// listFlags are the flags of lists.
type listFlags struct {
	Limit    int    `help:"Entries to list, at most 10000." default:"50" env:"-"`
	Page     string `help:"Cursor of the next page, which the previous page has printed." env:"-"`
	Creator  string `help:"Only those of this creator." env:"-"`
	Prefix   string `help:"Only those whose id begins so; in the order of ids." env:"-"`
	Filename string `help:"Only those whose file name begins so; in the order of names." env:"-"`
	Oldest   bool   `help:"The oldest first, instead of the newest." env:"-"`
}

// Validate refuses a limit that is out of bounds. The parser of the command line calls it.
func (f listFlags) Validate() error {
	if f.Limit < 1 || f.Limit > maxListed {
		return fmt.Errorf("--limit must be from 1 to %d", maxListed)
	}
	return nil
}

// query returns the query of the API.
func (f listFlags) query() apiclient.ListQuery {
	q := apiclient.ListQuery{Limit: f.Limit, Token: f.Page, Ascending: f.Oldest, Prefix: f.Prefix, Filename: f.Filename}
	if f.Creator != "" {
		q.Creator = &f.Creator
	}
	return q
}

// ImageList lists images.
type ImageList struct {
	terminal.Output
	listFlags
	Meta     []string `help:"Only those with this metadata: status=active, size[gte:number]=5." env:"-" sep:"none"`
	SHA256   string   `name:"sha256" help:"Only those with these bytes, by their SHA-256 in hex." env:"-"`
	Near     string   `help:"Only those that look like the one with this phash." env:"-"`
	Distance string   `help:"With --near: bits in which the phash may differ, 0 to 10; 8 if not given." env:"-"`
}

// Help returns the text of --help below the usage.
func (ImageList) Help() string {
	return `Lists images, the newest first. All filters must match. A filter on metadata is a path, an operator of
the API (eq, in, gt, gte, lt, lte; without one it is eq) and a value.

  calotype image list --creator user-7 --limit 10
  calotype image list --meta status=active --meta 'size[gte:number]=5' --json
  calotype image list --near c1f8a3d2745b960e --distance 6`
}

// Run lists the images.
func (c *ImageList) Run(ctx context.Context, client *apiclient.Client) error {
	q := c.query()
	q.Meta, q.SHA256, q.Near, q.Distance = c.Meta, c.SHA256, c.Near, c.Distance
	list, err := listAll(ctx, client, q)
	if err != nil {
		return err
	}
	table := terminal.NewTable("There are no such images.", terminal.Column{Name: "ID", Whole: true},
		terminal.Column{Name: "UPLOADED"}, terminal.Column{Name: "FORMAT"},
		terminal.Column{Name: "PIXELS", Right: true}, terminal.Column{Name: "SIZE", Right: true},
		terminal.Column{Name: "PRIVATE"}, terminal.Column{Name: "CREATOR"}, terminal.Column{Name: "FILENAME"})
	now := time.Now()
	for _, i := range list.Items {
		table.Row(i.ID, terminal.Ago(time.Time(i.Uploaded), now), text(i.Format), i.pixels(), size(i.Bytes),
			terminal.YesNo(i.Private), text(i.Creator), text(i.Filename))
	}
	return c.printList(os.Stdout, c.Output, list, table)
}

// printList prints a list, and how to get its next page.
func (f listFlags) printList(w io.Writer, o terminal.Output, list terminal.List[Image], table *terminal.Table) error {
	err := o.Print(w, list, table.Print)
	if err == nil && !o.JSON && list.Next != "" {
		terminal.ShowLine(os.Stderr, "There are more: add --page %s, or raise --limit.", list.Next)
	}
	return err
}

// listAll returns as many entries as the query wants: pages of the API may be short.
func listAll(
	ctx context.Context, client *apiclient.Client, q apiclient.ListQuery,
) (list terminal.List[Image], err error) {
	list, now, wanted := terminal.ListOf[Image](nil), time.Now(), q.Limit
	for {
		page, err := client.List(ctx, q)
		if err != nil {
			return list, err
		}
		for _, img := range page.Images {
			list.Items = append(list.Items, NewImage(img, now))
		}
		if page.Next == q.Token && page.Next != "" {
			return list, errSameCursor(page.Next)
		}
		list.Next, q.Token, q.Limit = page.Next, page.Next, wanted-len(list.Items)
		if list.Next == "" || q.Limit <= 0 {
			return list, nil
		}
	}
}

// DraftList lists drafts.
type DraftList struct {
	terminal.Output
	listFlags
}

// Help returns the text of --help below the usage.
func (DraftList) Help() string {
	return `Lists drafts, the newest first: waiting for an upload, refused if the last body was no good picture,
exhausted after too many of these, or expired. Their one-time URLs are secrets, and not shown.

  calotype draft list --creator user-7`
}

// Run lists the drafts.
func (c *DraftList) Run(ctx context.Context, client *apiclient.Client) error {
	q := c.query()
	q.Drafts = true
	list, err := listAll(ctx, client, q)
	if err != nil {
		return err
	}
	table := terminal.NewTable("There are no such drafts.", terminal.Column{Name: "ID", Whole: true},
		terminal.Column{Name: "STATE"}, terminal.Column{Name: "CREATED"}, terminal.Column{Name: "EXPIRES"},
		terminal.Column{Name: "ATTEMPTS", Right: true}, terminal.Column{Name: "USES", Right: true},
		terminal.Column{Name: "CREATOR"}, terminal.Column{Name: "LAST ERROR"})
	now := time.Now()
	for _, i := range list.Items {
		u := i.Upload
		if u == nil { // from a server that does not say more
			u = &Upload{State: "waiting"}
		}
		last := ""
		if u.LastError != nil {
			last = fmt.Sprintf("%d: %s", u.LastError.Code, u.LastError.Message)
		}
		table.Row(i.ID, u.State, terminal.Ago(time.Time(i.Uploaded), now), terminal.Ago(time.Time(u.Expires), now),
			fmt.Sprint(u.Attempts), fmt.Sprintf("%d of %d", u.UsesUsed, u.UsesAllowed), text(i.Creator), last)
	}
	return c.printList(os.Stdout, c.Output, list, table)
}

// errSameCursor refuses a list that would not end.
func errSameCursor(cursor string) error {
	return fmt.Errorf("the server sent the cursor %.40q twice", cursor)
}
