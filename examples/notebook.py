# %% Reads afterbell from a notebook: pandas, polars and DuckDB, over REST and from the
# published files. Each line that begins with "# %%" begins a cell.
import io
import os
import urllib.request

import duckdb
import pandas as pd
import polars as pl

REST = os.environ.get("AFTERBELL_REST", "http://localhost:7780")
PUBLISHED = os.environ.get("AFTERBELL_PUBLISHED", "data/simulated/published")

# %% One request says which version is current. Naming it keeps all cells on one version.
head = urllib.request.urlopen(urllib.request.Request(f"{REST}/v1/data/daily_prices.csv", method="HEAD"))
version, complete = head.headers["X-Afterbell-Version"], head.headers["X-Afterbell-Complete"]
print("version", version, "complete", complete)


def table(name: str, ending: str, **parameters: str) -> str:
    query = "&".join(f"{k}={v}" for k, v in {**parameters, "version": version}.items())
    return f"{REST}/v1/data/{name}.{ending}?{query}"


# %% pandas reads Parquet; trade_date is a date, what is missing is null.
prices = pd.read_parquet(table("daily_prices", "parquet", symbols="600519.SH,510300.SH", adjust="forward"))
print(prices.pivot(index="trade_date", columns="symbol", values="close").tail())

# %% polars reads an Arrow stream.
with urllib.request.urlopen(table("daily_prices", "arrow", columns="symbol,trade_date,amount")) as answer:
    amounts = pl.read_ipc_stream(io.BytesIO(answer.read()))
print(amounts.group_by("trade_date").agg(pl.col("amount").sum()).sort("trade_date").tail())

# %% DuckDB reads the published file of this machine; no run is kept waiting by it.
with duckdb.connect(f"{PUBLISHED}/universe.duckdb", read_only=True) as db:
    print(db.sql("select trade_date, count(*) from daily_prices group by all order by all desc limit 5"))

# %% It reads the folder of Parquet files, too.
print(duckdb.sql(f"select count(*) from '{PUBLISHED}/parquet/daily_prices/*/*.parquet' where symbol = '600519.SH'"))
