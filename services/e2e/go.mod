module github.com/afterbell/afterbell/services/e2e

go 1.26.0

replace github.com/afterbell/afterbell/gen => ../../gen

require (
	github.com/afterbell/afterbell/gen v0.0.0-00010101000000-000000000000
	github.com/afterbell/afterbell/services/ingestworker v0.0.0-00010101000000-000000000000
	github.com/afterbell/afterbell/services/internal v0.0.0-00010101000000-000000000000
	github.com/afterbell/afterbell/services/orchestrator v0.0.0-00010101000000-000000000000
	github.com/afterbell/afterbell/services/tusharesim v0.0.0-00010101000000-000000000000
	github.com/duckdb/duckdb-go/v2 v2.10506.0
	github.com/google/go-cmp v0.7.0
	github.com/mattn/go-sqlite3 v1.14.53
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

replace github.com/afterbell/afterbell/services/internal => ../../services/internal

replace github.com/afterbell/afterbell/services/ingestworker => ../../services/ingestworker

replace github.com/afterbell/afterbell/services/orchestrator => ../../services/orchestrator

replace github.com/afterbell/afterbell/services/tusharesim => ../../services/tusharesim
