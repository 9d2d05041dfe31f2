package tidings

import (
	"encoding/json"
	"fmt"
	"mime"
	"strings"
)

// Codec turns payloads into bytes and back. It must be safe for concurrent use and comparable with ==.
type Codec interface {
	// Encode encodes a payload.
	Encode(payload any) ([]byte, error)
	// Decode decodes data into the payload that into points to. It must not keep data.
	Decode(data []byte, into any) error
	// ContentType is the media type of what Encode makes.
	ContentType() string
}

// JSON is the default codec: encoding/json as it is. Fields that a payload's type does not have are ignored.
type JSON struct{}

// Encode calls json.Marshal.
func (JSON) Encode(payload any) ([]byte, error) { return json.Marshal(payload) }

// Decode calls json.Unmarshal.
func (JSON) Decode(data []byte, into any) error { return json.Unmarshal(data, into) }

// ContentType is application/json.
func (JSON) ContentType() string { return "application/json" }

// checkContentType refuses what can't be read. Who reads raw bytes reads everything.
func (c *core) checkContentType(contentType string) error {
	if c.raw {
		return nil
	}
	return checkContentType(c.codec, contentType)
}

// checkContentType refuses what the codec can't read. A message without a content type is JSON, as CloudEvents says.
func checkContentType(codec Codec, contentType string) error {
	want := codec.ContentType()
	if contentType == want || contentType == "" {
		return nil
	}
	got, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("content type %q: %w", contentType, err)
	}
	if got == want || (want == "application/json" && (strings.HasSuffix(got, "/json") || strings.HasSuffix(got, "+json"))) {
		return nil
	}
	return fmt.Errorf("content type %q: this event is read as %s", contentType, want)
}
