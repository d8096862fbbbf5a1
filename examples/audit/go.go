// A webhook for Toloka with a report route, for `crowdhook audit`, in Go's standard library:
//
//	TOLOKA_SECRET=12345 REPORT_TOKEN=only-here go run go.go
//	npx crowdhook audit http://127.0.0.1:3000/toloka-webhook --provider toloka --secret 12345 \
//	    --report http://127.0.0.1:3000/handled/only-here
//
// The lines marked with a number are the report route. It shows handled events to anyone who asks, so do
// not use it in production. It exists only with a REPORT_TOKEN, and only the loopback interface reaches it.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance = 5 * time.Minute // before and after
	limit     = 5 << 20         // bytes
)

var (
	secret = []byte(os.Getenv("TOLOKA_SECRET"))
	field  = regexp.MustCompile(`(\w+)=(\w*)`)
	number = regexp.MustCompile(`^\d{1,15}$`)
	digits = regexp.MustCompile(`^[0-9a-f]{40,64}$`)

	oneAtATime sync.Mutex
	done       = map[string]bool{} // in memory: several processes need a store that they share
	handled    = []string{}        // 1
)

type event struct {
	UUID string `json:"uuid"`
	Type string `json:"type"`
}

// Your code. If it returns an error, the event failed and runs again on its next delivery.
func handle(e event) error {
	fmt.Println(e.Type, e.UUID)
	return nil
}

func isGenuine(header string, body []byte) bool {
	fields := map[string]string{}
	for _, match := range field.FindAllStringSubmatch(header, -1) {
		fields[match[1]] = match[2]
	}
	v, ts, sign := fields["v"], fields["ts"], fields["sign"]
	if !number.MatchString(v) || !number.MatchString(ts) || !digits.MatchString(sign) {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(ts + "." + v + "."))
	mac.Write(body)
	// Toloka leaves out leading zeros.
	digest, _ := hex.DecodeString(strings.Repeat("0", 64-len(sign)) + sign)
	signed, _ := strconv.ParseInt(ts, 10, 64)
	return hmac.Equal(mac.Sum(nil), digest) && time.Since(time.UnixMilli(signed)).Abs() <= tolerance
}

// Returns the events of an envelope. Toloka's test notification is a bare event.
func eventsOf(body []byte) ([]event, error) {
	var envelope struct {
		Events *[]event `json:"events"`
		event
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, err
	}
	events := []event{envelope.event}
	if envelope.Events != nil {
		events = *envelope.Events
	}
	for _, e := range events {
		if e.UUID == "" {
			return nil, errors.New("an event without a uuid")
		}
	}
	return events, nil
}

func handleOnce(e event) error {
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	if done[e.UUID] {
		return nil
	}
	if err := handle(e); err != nil {
		return err
	}
	done[e.UUID] = true
	handled = append(handled, e.UUID) // 2
	return nil
}

func webhook(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if len(body) > limit {
		// Read on, up to a second limit, so that the sender can finish and see the answer.
		io.CopyN(io.Discard, r.Body, 64<<20)
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if !isGenuine(r.Header.Get("Toloka-Signature"), body) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	events, err := eventsOf(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	status := http.StatusOK
	for _, e := range events {
		if err := handleOnce(e); err != nil {
			log.Println("failed", e.UUID)
			status = http.StatusInternalServerError
		}
	}
	w.WriteHeader(status)
}

func report(w http.ResponseWriter, r *http.Request) { // 3
	oneAtATime.Lock()                                                  // 4
	defer oneAtATime.Unlock()                                          // 5
	json.NewEncoder(w).Encode(map[string][]string{"handled": handled}) // 6
}

func main() {
	if len(secret) == 0 {
		log.Fatal("TOLOKA_SECRET is not set, or empty: anyone could sign with that.")
	}
	http.HandleFunc("/toloka-webhook", webhook)
	if token := os.Getenv("REPORT_TOKEN"); token != "" {
		http.HandleFunc("/handled/"+token, report) // 7
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Listening on http://" + listener.Addr().String())
	server := &http.Server{ReadTimeout: 30 * time.Second}
	log.Fatal(server.Serve(listener))
}
