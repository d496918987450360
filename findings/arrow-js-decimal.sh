#!/usr/bin/env bash
# The Arrow package for JavaScript knows the scale of a Decimal column, and its values ignore it: as
# a string, as a number and in JSON, 12.34 of a Decimal(12,4) is 123400. hyparquet applies the scale
# of the same column in Parquet. A chart of such prices is wrong by a factor of 10,000, without an error.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
echo "$(date -u +%F) node $(node --version) apache-arrow@21.2.0"

cat > main.mjs <<'EOF'
import { Decimal, Table, Vector, makeData, tableFromIPC, tableToIPC } from 'apache-arrow'

// 12.34 with four digits after the point, as Arrow stores it: the integer 123400.
const type = new Decimal(4, 12, 128)
const data = makeData({ type, length: 1, nullCount: 0, data: new Uint32Array([123400, 0, 0, 0]) })
const table = tableFromIPC(tableToIPC(new Table({ close: new Vector([data]) })))
const { scale, precision } = table.schema.fields[0].type
const value = table.getChild('close').get(0)
console.log(`precision ${precision}, scale ${scale}`)
console.log('as a string:', String(value))
console.log('as a number:', Number(value))
console.log('in JSON:', JSON.stringify(table.toArray()[0]))
EOF
npm init -y > /dev/null
npm install --no-audit --no-fund --silent apache-arrow@21.2.0

cat > expected <<'EOF'
precision 12, scale 4
as a string: 123400
as a number: 123400
in JSON: {"close":"\"123400\""}
EOF
node main.mjs | tee seen
diff expected seen && echo "The behaviour is as described." || { echo "The behaviour has changed: update findings/README.md." >&2; exit 1; }
