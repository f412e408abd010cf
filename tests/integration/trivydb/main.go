// Trivydb writes a vulnerability database in Trivy's own format, small enough for a test.
//
//	trivydb FOLDER <database.json
package main

import (
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/aquasecurity/trivy-db/pkg/db"
	"github.com/aquasecurity/trivy-db/pkg/metadata"
	"github.com/aquasecurity/trivy-db/pkg/types"
	bolt "go.etcd.io/bbolt"
)

// advisory is one vulnerability of one package: Fixed for a distribution's, Vulnerable and Patched for a language's.
type advisory struct {
	Bucket, Package, Identifier string
	Severity                    string
	Fixed                       string
	Vulnerable, Patched         []string
}

// database is what a test asks for.
type database struct {
	Schema     int
	Updated    time.Time
	Advisories []advisory
}

func main() {
	log.SetFlags(0)
	var wanted database
	if err := json.NewDecoder(os.Stdin).Decode(&wanted); err != nil {
		log.Fatal(err)
	}
	if err := write(os.Args[1], wanted); err != nil {
		log.Fatal(err)
	}
}

// write fills trivy.db and metadata.json in a folder.
func write(folder string, wanted database) error {
	if err := db.Init(folder); err != nil {
		return err
	}
	if err := (db.Config{}).BatchUpdate(func(tx *bolt.Tx) error { return fill(tx, wanted.Advisories) }); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return metadata.NewClient(folder).Update(metadata.Metadata{
		Version:    wanted.Schema,
		UpdatedAt:  wanted.Updated,
		NextUpdate: wanted.Updated.Add(24 * time.Hour),
	})
}

// fill puts each advisory, where it comes from, and what is known of its vulnerability.
func fill(tx *bolt.Tx, advisories []advisory) error {
	config := db.Config{}
	for _, one := range advisories {
		severity, err := types.NewSeverity(one.Severity)
		if err != nil {
			return err
		}
		if err := config.PutDataSource(tx, one.Bucket, types.DataSource{ID: "test", Name: "a test"}); err != nil {
			return err
		}
		found := types.Advisory{FixedVersion: one.Fixed, VulnerableVersions: one.Vulnerable, PatchedVersions: one.Patched}
		if err := config.PutAdvisory(tx, []string{one.Bucket, one.Package}, one.Identifier, found); err != nil {
			return err
		}
		vulnerability := types.Vulnerability{
			Title:          "made for a test",
			VendorSeverity: types.VendorSeverity{"nvd": severity},
		}
		if err := config.PutVulnerability(tx, one.Identifier, vulnerability); err != nil {
			return err
		}
	}
	return nil
}
