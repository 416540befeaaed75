// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Options of a Client. The zero value of each field is its default.
type Options struct {
	// Token is sent as a bearer token with each request.
	Token string
	// Headers are sent with each request.
	Headers http.Header

	// CAFile is a PEM file of the authorities to trust, instead of the system's.
	CAFile string
	// CertificateFile and KeyFile are PEM files of the client's own certificate.
	CertificateFile, KeyFile string
	// TLS is used instead of these three.
	TLS *tls.Config

	// ConnectTimeout is for a connection, and again for its TLS handshake. Default: 5 s.
	ConnectTimeout time.Duration
	// Timeout is for a whole call: waits, tries again, the last byte of the answer. It is for calls whose context has no
	// deadline. Default: 60 s; negative: no end.
	Timeout time.Duration
	// ConnectionsMax is the number of calls at the same time; others wait. Default: 64.
	ConnectionsMax int
	// IdleTimeout: a kept connection is closed if it was not used for so long. Default: 60 s.
	IdleTimeout time.Duration
	// AnswerBytesMax: larger answers are refused before memory is taken; those that do not say their length, as soon as they
	// have more. Default, and at most: 2 GiB.
	AnswerBytesMax int64

	// Retry says when a request is sent again.
	Retry Retry

	// Transport replaces the one of this package, as for a proxy or for traces. It gets no TLS, ConnectTimeout, ConnectionsMax
	// and IdleTimeout from here. It has to close the body of each request, as http.RoundTripper says: a call waits for that,
	// until its time is over.
	Transport http.RoundTripper
}

// --- implementation

func orDefault[T int | int64 | float64 | time.Duration](value *T, standard T) {
	if *value == 0 {
		*value = standard
	}
}

// complete puts in the defaults.
func (o *Options) complete() error {
	orDefault(&o.ConnectTimeout, 5*time.Second)
	orDefault(&o.Timeout, 60*time.Second)
	orDefault(&o.ConnectionsMax, 64)
	orDefault(&o.IdleTimeout, 60*time.Second)
	orDefault(&o.AnswerBytesMax, messageBytesMax)
	o.Retry.complete()
	if o.ConnectTimeout < 0 || o.ConnectionsMax < 0 || o.IdleTimeout < 0 || o.AnswerBytesMax < 0 {
		return argumentError("ConnectTimeout, ConnectionsMax, IdleTimeout and AnswerBytesMax are not negative")
	}
	if o.AnswerBytesMax > messageBytesMax {
		return argumentError("AnswerBytesMax is at most %d, as no GraphPipe message is larger", messageBytesMax)
	}
	if strings.IndexFunc(o.Token, func(c rune) bool { return c <= ' ' || c > '~' }) >= 0 {
		return argumentError("Token has visible ASCII characters only")
	}
	for name, values := range o.Headers {
		if name == "" || strings.IndexFunc(name, isNoTokenChar) >= 0 {
			return argumentError("Headers: HTTP has no header %q", name)
		}
		if strings.IndexFunc(strings.Join(values, ""), func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) >= 0 {
			return argumentError("Headers: the value of %s has a control character", name)
		}
	}
	if (o.CertificateFile == "") != (o.KeyFile == "") {
		return argumentError("CertificateFile and KeyFile belong together")
	}
	if o.TLS != nil && (o.CAFile != "" || o.CertificateFile != "") {
		return argumentError("give TLS, or the files of certificates, not both")
	}
	return nil
}

// isNoTokenChar: see section 5.6.2 of RFC 9110.
func isNoTokenChar(c rune) bool {
	return c <= ' ' || c > '~' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
}

func (o *Options) hasTLS() bool { return o.TLS != nil || o.CAFile != "" || o.CertificateFile != "" }

func (o *Options) tlsConfig() (*tls.Config, error) {
	if o.TLS != nil {
		return o.TLS.Clone(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, &callError{kind: ErrArgument, text: "CAFile", cause: err}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, argumentError("CAFile: there is no PEM certificate in %s", o.CAFile)
		}
	}
	if o.CertificateFile != "" {
		certificate, err := tls.LoadX509KeyPair(o.CertificateFile, o.KeyFile)
		if err != nil {
			return nil, &callError{kind: ErrArgument, text: "CertificateFile, KeyFile", cause: err}
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// address is where a server is: the beginning of its URLs, and the path of its unix socket, if it is one.
type address struct{ base, socket string }

func parseAddress(text string, options *Options) (address, error) {
	parts, err := url.Parse(text)
	if err != nil {
		return address{}, &callError{kind: ErrArgument, text: "the URL of the server", cause: err}
	}
	isFit := !strings.ContainsAny(text, "?#") && parts.Opaque == ""
	if parts.Scheme == "unix" && parts.Host == "" && parts.Path != "" && isFit {
		if options.Transport != nil {
			return address{}, argumentError("a unix socket needs the transport of this package")
		}
		if options.hasTLS() {
			return address{}, argumentError("certificates are for https://, but the URL is %q", text)
		}
		return address{"http://localhost", parts.Path}, nil
	}
	if (parts.Scheme != "http" && parts.Scheme != "https") || parts.Hostname() == "" || !isFit {
		return address{}, argumentError(
			"the URL of a server is as http://host:8501, https://host:8501 or unix:///path/of/socket, not %q", text)
	}
	if parts.User != nil {
		return address{}, argumentError("the URL may not have a user; give the token as Options.Token")
	}
	if parts.Scheme == "http" && options.hasTLS() {
		return address{}, argumentError("certificates are for https://, but the URL is %q", text)
	}
	return address{parts.Scheme + "://" + parts.Host + strings.TrimRight(parts.EscapedPath(), "/"), ""}, nil
}

// transport has HTTP/1.1 only: a stream of HTTP/2 has windows to wait for, and large tensors share one connection.
func (o *Options) transport(where address) (http.RoundTripper, error) {
	if o.Transport != nil {
		if o.hasTLS() {
			return nil, argumentError("give certificates to the Transport, not to Options")
		}
		return o.Transport, nil
	}
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: o.ConnectTimeout}
	dial := func(ctx context.Context, network, target string) (net.Conn, error) {
		if where.socket != "" {
			network, target = "unix", where.socket
		}
		conn, err := dialer.DialContext(ctx, network, target)
		if err != nil {
			return nil, err
		}
		return gatheringConn{conn}, nil
	}
	return &http.Transport{
		DialContext:         dial,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: o.ConnectTimeout,
		MaxConnsPerHost:     o.ConnectionsMax,
		MaxIdleConnsPerHost: o.ConnectionsMax,
		IdleConnTimeout:     o.IdleTimeout,
		DisableCompression:  true,
	}, nil
}

// target is the path and query of a model.
type target struct {
	name, label, signature string
	version                int64
	hasVersion             bool
	isDefault              bool
}

func (t target) path() (string, error) {
	path := "/"
	if t.isDefault {
		if t.hasVersion || t.label != "" {
			return "", argumentError("a version or label needs the name of a model")
		}
	} else if t.name == "" {
		return "", argumentError("the name of a model is not empty; DefaultModel is the one at /")
	} else {
		path = "/graphpipe/" + url.PathEscape(t.name)
	}
	if t.hasVersion && t.label != "" {
		return "", argumentError("give a version or a label, not both")
	}
	if t.hasVersion {
		path += "/versions/" + strconv.FormatInt(t.version, 10)
	}
	if t.label != "" {
		path += "/labels/" + url.PathEscape(t.label)
	}
	if t.signature != "" {
		path += "?" + url.Values{"signature_name": {t.signature}}.Encode()
	}
	return path, nil
}
