// Tarlist lists archives as engines read them, by Go's archive/tar.
//
// Each archive on standard input has its length before it, 8 bytes big-endian. For each of them one line of JSON is
// printed: its members, or null for an archive that Go refuses.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
)

const xattr = "SCHILY.xattr."

// list returns the members of an archive: name, type, size, mode, owner, time, target, xattrs and digest of each.
// Names may be no UTF-8, so they are bytes, in JSON base64.
func list(archive io.Reader) ([][]any, error) {
	members := [][]any{}
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return members, nil
		}
		if err != nil {
			return nil, err
		}
		digest := sha256.New()
		size, err := io.Copy(digest, reader)
		if err != nil {
			return nil, err
		}
		xattrs := map[string][]byte{}
		for key, value := range header.PAXRecords {
			if name, found := strings.CutPrefix(key, xattr); found {
				xattrs[fmt.Sprintf("%x", name)] = []byte(value)
			}
		}
		members = append(members, []any{
			[]byte(header.Name), string(header.Typeflag), size, header.Mode, header.Uid, header.Gid,
			header.ModTime.Unix(), []byte(header.Linkname), xattrs, fmt.Sprintf("%x", digest.Sum(nil)),
		})
	}
}

func main() {
	log.SetFlags(0)
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	for {
		var size uint64
		if err := binary.Read(input, binary.BigEndian, &size); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		archive := make([]byte, size)
		if _, err := io.ReadFull(input, archive); err != nil {
			log.Fatal(err)
		}
		members, err := list(bytes.NewReader(archive))
		if err != nil {
			members = nil
		}
		line, err := json.Marshal(members)
		if err != nil {
			log.Fatal(err)
		}
		output.Write(append(line, '\n'))
	}
}
