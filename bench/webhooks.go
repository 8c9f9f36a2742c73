package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// webhookConnections are those that the server has to one webhook at most.
const webhookConnections = 16

// webhooks measures the rate of pending events, compared with the same posts without a database and with
// the database without posts; and the cost of a webhook for an upload.
func (b *bench) webhooks() error {
	postgres := os.Getenv("CALOTYPE_TEST_POSTGRES")
	if postgres == "" {
		say("no PostgreSQL: it is left out; scripts/with-postgres starts one")
	}
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		if engine == "PostgreSQL" && postgres == "" {
			continue
		}
		database := func(name string) (string, error) {
			if engine == "SQLite" {
				return "", nil
			}
			return newDatabase(postgres, name)
		}
		if err := b.outboxOn(engine, database); err != nil {
			return err
		}
		if err := b.notifiedUploadsOn(engine, database); err != nil {
			return err
		}
	}
	return nil
}

// An outboxBench is a server with a webhook, and n events of each round.
type outboxBench struct {
	b        *bench
	s        *server
	receiver *receiver
	hook     string
	image    string // which events are about
	n        int
	messages string // file of the messages, for posting them without a server
	bare     *bareOutbox
}

func (b *bench) outboxOn(engine string, database func(name string) (string, error)) error {
	dsn, err := database("bench_outbox")
	if err != nil {
		return err
	}
	s, err := b.startServer("outbox-"+engine, dsn)
	if err != nil {
		return err
	}
	defer s.stop()
	o := &outboxBench{b: b, s: s, n: b.scaled(5000)}
	if o.receiver, err = newReceiver(); err != nil {
		return err
	}
	defer o.receiver.close()
	if dsn == "" {
		dsn = filepath.Join(b.scratch, "bare-outbox.db")
	}
	if o.bare, err = openBareOutbox(dsn, o.n); err != nil {
		return err
	}
	defer o.bare.db.Close()
	if err := o.prepare(); err != nil {
		return err
	}
	err = b.inTurn([]row{
		{name: "webhook on " + engine + ", rate", unit: "1/s", peer: "the same posts alone"},
		{name: "webhook on " + engine + ", rate", unit: "1/s", peer: "the database alone"},
		{name: "webhook on " + engine + ", CPU", unit: "us", peer: "the sum of both"},
	}, o.ours, o.theirs)
	if err != nil {
		return err
	}
	if err := o.makeEvents(); err != nil {
		return err
	}
	return b.profiled(s, "webhook-"+engine, func() error {
		_, err := o.deliver()
		return err
	})
}

// prepare sends events once, and stores the messages.
func (o *outboxBench) prepare() (err error) {
	picture, err := photograph(320, 240, 20_000, grainOfSensor)
	if err != nil {
		return err
	}
	path, err := o.s.upload(picture)
	if err != nil {
		return err
	}
	o.image = strings.Split(path, "/")[2]
	if o.hook, err = o.s.addWebhook(o.receiver.url, "image.updated"); err != nil {
		return err
	}
	if err := o.makeEvents(); err != nil {
		return err
	}
	o.receiver.expect(o.n, true)
	if err := o.resume(); err != nil {
		return err
	}
	messages, err := o.receiver.await()
	if err != nil {
		return err
	}
	text, err := json.Marshal(messages)
	if err != nil {
		return err
	}
	o.messages = filepath.Join(o.b.scratch, "messages.json")
	return os.WriteFile(o.messages, text, 0o600)
}

// makeEvents makes n events that wait for resume. A replay would be limited for each hour.
func (o *outboxBench) makeEvents() error {
	if err := o.pause(); err != nil {
		return err
	}
	_, _, err := o.s.send(4, o.n, http.StatusOK, o.edit, nil)
	return err
}

// edit is the i-th change of the image; each has an event.
func (o *outboxBench) edit(i int) request {
	body := fmt.Appendf(nil, `{"metadata":{"edit":%d}}`, i)
	return request{head: fmt.Sprintf("PATCH /client/v4/accounts/%s/images/v1/%s HTTP/1.1\r\n"+
		"Host: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n", accountID, o.image, o.s.address, apiToken, len(body)), body: body}
}

// pause has the receiver answer 410 to a separate event, so that the server sends nothing.
func (o *outboxBench) pause() error {
	o.receiver.refuse(true)
	defer o.receiver.refuse(false)
	_, _, err := o.s.send(1, 1, http.StatusOK, func(int) request { return o.edit(-1) }, nil)
	if err != nil {
		return err
	}
	for range 3000 {
		var hook struct{ Paused *struct{ Reason string } }
		if err := o.s.ask("GET", "destinations/webhooks/"+o.hook, nil, &hook); err != nil {
			return err
		}
		if hook.Paused != nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the webhook is not paused")
}

func (o *outboxBench) resume() error {
	return o.s.ask("POST", "destinations/webhooks/"+o.hook+"/test", nil, nil)
}

// ours makes n events, and delivers them.
func (o *outboxBench) ours() ([]float64, error) {
	if err := o.makeEvents(); err != nil {
		return nil, err
	}
	return o.deliver()
}

// deliver measures from the moment that the events may be sent.
func (o *outboxBench) deliver() ([]float64, error) {
	o.receiver.expect(o.n, false)
	var took time.Duration
	cpu, err := cpuOf(o.s.process, func() error {
		began := time.Now()
		if err := o.resume(); err != nil {
			return err
		}
		_, err := o.receiver.await()
		took = time.Since(began)
		return err
	})
	rate := float64(o.n) / took.Seconds()
	return []float64{rate, rate, micros(cpu) / float64(o.n)}, err
}

// theirs posts the same messages by the same client in a separate process, and runs the minimal statements
// for the same number of rows.
func (o *outboxBench) theirs() ([]float64, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o.receiver.expect(o.n, false)
	began := time.Now()
	posting, err := runCommand(program, "-post", o.messages, "-to", o.receiver.url)
	if err != nil {
		return nil, err
	}
	if _, err := o.receiver.await(); err != nil {
		return nil, err
	}
	posts := time.Since(began)
	var rows time.Duration
	writing, err := ownCPU(func() (err error) {
		rows, err = o.bare.run()
		return err
	})
	n := float64(o.n)
	return []float64{n / posts.Seconds(), n / rows.Seconds(), micros(posting+writing) / n}, err
}

// notifiedUploadsOn measures uploads with a webhook, compared with uploads without one.
func (b *bench) notifiedUploadsOn(engine string, database func(name string) (string, error)) error {
	picture, err := photograph(1600, 1200, 200_000, grainOfSensor)
	if err != nil {
		return err
	}
	var both [2]*uploading
	for i, name := range []string{"webhook", "silent"} {
		dsn, err := database("bench_" + name)
		if err != nil {
			return err
		}
		u := &uploading{b: b, picture: picture, n: max(8, b.scaled(60))}
		if u.s, err = b.startServer(name+"-"+engine, dsn); err != nil {
			return err
		}
		defer u.s.stop()
		if u.form, err = newForm(picture); err != nil {
			return err
		}
		both[i] = u
	}
	r, err := newReceiver()
	if err != nil {
		return err
	}
	defer r.close()
	if _, err := both[0].s.addWebhook(r.url, "image.upload.succeeded"); err != nil {
		return err
	}
	told := func() ([]float64, error) {
		r.expect(both[0].n, false)
		each, rate, err := both[0].upload(func() error {
			_, err := r.await()
			return err
		})
		return []float64{rate, each}, err
	}
	silent := func() ([]float64, error) {
		each, rate, err := both[1].upload(func() error { return nil })
		return []float64{rate, each}, err
	}
	err = b.inTurn([]row{
		{name: "upload 200 KB on " + engine + ", with a webhook, rate", unit: "1/s",
			peer: "without a webhook"},
		{name: "upload 200 KB on " + engine + ", with a webhook, CPU", unit: "ms",
			peer: "without a webhook"},
	}, told, silent)
	if err != nil {
		return err
	}
	return b.profiled(both[0].s, "upload-webhook-"+engine, func() error {
		_, err := told()
		return err
	})
}

// addWebhook adds a webhook for one type of event, with its policy, and returns its id.
func (s *server) addWebhook(url, event string) (string, error) {
	var made struct{ ID string }
	err := s.ask("POST", "destinations/webhooks", map[string]any{
		"name": "bench", "url": url, "secret": "bench-secret", "events": []string{event},
	}, &made)
	if err != nil {
		return "", err
	}
	return made.ID, s.ask("POST", "policies", map[string]any{
		"name": "bench", "alert_type": "image_notification", "enabled": true,
		"mechanisms": map[string]any{"webhooks": []any{map[string]string{"id": made.ID}}},
	}, nil)
}

func (s *server) ask(method, path string, fields, result any) error {
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, s.base()+"/client/v4/accounts/"+accountID+"/alerting/v3/"+path,
		bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+apiToken)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode > 299 {
		return fmt.Errorf("%s %s: status %d: %s", method, path, response.StatusCode, text)
	}
	return json.Unmarshal(text, &struct{ Result any }{result})
}
