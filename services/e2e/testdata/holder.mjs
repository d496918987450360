// Holds the published file open, as a notebook does: counts its rows whenever a line
// comes in. Usage: node holder.mjs FILE
import { createInterface } from 'node:readline'
import { DuckDBInstance } from '@duckdb/node-api'

const db = await DuckDBInstance.create(process.argv[2], { access_mode: 'READ_ONLY' })
const connection = await db.connect()
const count = async () => {
  const rows = await connection.runAndReadAll('SELECT count(*)::INTEGER, count(DISTINCT trade_date)::INTEGER FROM daily_prices')
  console.log(JSON.stringify(rows.getRows()[0]))
}
await count()
for await (const _ of createInterface({ input: process.stdin })) await count()
