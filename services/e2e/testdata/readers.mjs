// Reads one answer with three readers that know nothing of afterbell, and prints what
// each of them saw. Usage: node readers.mjs REST-ADDRESS PUBLISHED-FOLDER
import { tableFromIPC } from 'apache-arrow'
import { asyncBufferFromUrl, parquetReadObjects } from 'hyparquet'
import { DuckDBInstance } from '@duckdb/node-api'

const [rest, folder] = process.argv.slice(2)
const names = ['symbol', 'trade_date', 'open', 'close', 'pre_close', 'volume', 'amount']
const day = (d) => new Date(d).toISOString().slice(0, 10)
const row = (r) => names.map((n) => (n === 'trade_date' ? day(r[n]) : r[n] ?? null))
const sorted = (rows) => rows.sort((a, b) => (a[1] + a[0] < b[1] + b[0] ? -1 : 1))
const out = {}

const answer = await fetch(`${rest}/v1/data/daily_prices.arrow?columns=${names}`)
const arrow = tableFromIPC(new Uint8Array(await answer.arrayBuffer()))
out.arrow = arrow.toArray().map(row)
out.arrowVersion = arrow.schema.metadata.get('afterbell.version')
out.unit = arrow.schema.fields.find((f) => f.name === 'amount').metadata.get('unit')

const url = `${rest}/v1/data/daily_prices.parquet?columns=${names}`
out.hyparquet = (await parquetReadObjects({ file: await asyncBufferFromUrl({ url }) })).map(row)

const db = await DuckDBInstance.create(`${folder}/universe.duckdb`, { access_mode: 'READ_ONLY' })
const connection = await db.connect()
const select = `SELECT symbol, trade_date::VARCHAR, open, close, pre_close, volume, amount FROM`
const read = async (from) => sorted((await connection.runAndReadAll(`${select} ${from}`)).getRows())
out.duckdb = await read('daily_prices')
out.parquetFolder = await read(`read_parquet('${folder}/parquet/daily_prices/*/*.parquet')`)
console.log(JSON.stringify(out))
