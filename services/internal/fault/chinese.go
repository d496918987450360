package fault

import (
	"cmp"
	"regexp"
	"strings"
	"sync"
)

// chinese has the sentence of each reason in Simplified Chinese. {key} stands for a value
// of the metadata; a part in brackets is omitted if one of its values is missing. The
// English message may say more.
var chinese = map[Reason]string{
	TokenMissing:              "没有配置数据源令牌[（领域 {domain}）]。",
	TokenInvalid:              "数据源不接受该令牌[（接口 {api}）]。",
	TooManyIPs:                "使用该令牌的 IP 地址过多，数据源拒绝了请求[（接口 {api}）]。",
	PermissionDenied:          "令牌没有权限[调用接口 {api}]：积分或授权不足。",
	ProviderUnavailable:       "数据源[接口 {api} ]无法访问、超时，或返回了可能是暂时的错误[：{provider_message}]。",
	ProviderRefused:           "数据源[接口 {api} ]每次都拒绝这类请求，或在最后一页之前中断[：{provider_message}]。",
	RateLimited:               "达到每分钟的调用次数限额[（接口 {api}，{limit} 次）]。",
	QuotaExhausted:            "每小时或每天的调用次数已用完[（接口 {api}，{limit} 次）]。",
	WorkerUnreachable:         "采集器[（{address}）]连接不上，或没有及时应答。",
	PreflightFailed:           "预检在得出结论前失败[：{cause}]。",
	ModuleTestFailed:          "模块 [{module} ]的探测未通过：数据源的应答不符合模块的需要[（{cause}）]。",
	DomainTestFailed:          "领域 [{domain} ]的探测全部失败。",
	ModuleTestStale:           "模块 [{module} ]最近一次成功的探测已过期。",
	DomainTestStale:           "领域 [{domain} ]的探测全部过期。",
	ModuleTestRequired:        "模块 [{module} ]从未探测。",
	DomainTestRequired:        "领域 [{domain} ]的模块从未探测。",
	NoSyncModuleSelected:      "股票池[ {pool} ]没有启用的模块。",
	DomainHasNoEnabledModules: "领域 [{domain} ]没有启用的模块。",
	DomainProviderNotActive:   "领域 [{domain} ]所设的数据源[ {provider} ]尚未实现。",
	ModuleNotSyncCapable:      "模块 [{module} ]尚未实现。",
	AnalysisDBLocked:          "analysis.duckdb 正被其他程序打开[（进程 {holder_pid}）]。",
	AnalysisDBNotInitialized:  "analysis.duckdb 无法读取、只读，或结构不符。",
	TargetsDBLocked:           "targets.sqlite 正被占用[（进程 {holder_pid}）][：升级后正在按日期重排一次，已用 {sorting_seconds} 秒]。",
	TargetsDBNotInitialized:   "targets.sqlite 无法读取、只读，或结构不符。",
	SourceMismatch:            "文件[ {file} ]的数据来自另一个数据源[：{file_source}，而当前设置为 {configured_source}]。",
	DiskFull:                  "磁盘空间不足，无法写入[ {file}]。",
	StoreFailed:               "写入[ {file} ]失败，已回滚。",
	NotPublished:              "数据源尚未发布[ {trade_date} 的 {dataset}]。",
	Incomplete:                "数据源返回的行数少于应有行数[：{trade_date} 的 {dataset} 有 {row_count} 行，应有 {expected_count} 行]。",
	EmptyAnswer:               "数据源没有返回任何行，而该日期应有数据[：{trade_date} 的 {dataset} 应有 {expected_count} 行]。",
	AcceptedShort:             "数据源在多个日子返回了相同的不足数据，因此接受[：{trade_date} 的 {dataset} 有 {row_count} 行，应有 {expected_count} 行]。",
	ProbeEmpty:                "探测得到允许，但没有返回任何行[（接口 {api}）]。",
	UnknownSymbols:            "有 [{count} ]行的代码不在列表中[：{sample}]。",
	RowsRejected:              "有 [{count} ]行未通过检查[：{sample}]。",
	RowsInconsistent:          "有 [{count} ]行的字段相互矛盾[：{sample}]。",
	CalendarEnded:             "交易日历[只到 {calendar_end_date}，]不包含该日期，因此工作日视为交易日。",
	CalendarUnavailable:       "交易日历不包含请求的日期。",
	Interrupted:               "运行期间进程停止。",
	Cancelled:                 "运行被用户取消。",
	Stalled:                   "分区[ {partition_id} ]在[ {seconds} 秒]期限内没有进展，也没有在等待限额。",
	StaleEpoch:                "同一分区[ {partition_id} ]已重新分派，因此拒绝旧分派的写入。",
	WrongState:                "当前状态[ {state} ]不允许这个请求。",
	SchedulePaused:            "时段到期时计划处于暂停[：{note}]。",
	ScheduleDisabled:          "计划已停用[，或不包含时段 {slot_id} 的股票池]。",
	NotTradingDay:             "[{trade_date} ]不是交易日。",
	SlotMissed:                "时段到期时编排器没有运行，而补跑设置不再执行它。",
	SlotCovered:               "另一次运行[ {run_id} ]已覆盖这个时段。",
	InvalidArgument:           "请求、参数或文件中有无效的值[：{field}]。",
	NotFound:                  "请求的对象不存在[：{id}]。",
	RequestIDReused:           "这个 request_id 已用于另一个请求。",
	DataDirLocked:             "同一服务的另一个进程正在使用数据目录[（进程 {holder_pid}）]。",
	Internal:                  "发生意外错误，详情见日志。",
	ValuesRepeated:            "[{trade_date} 的 {dataset} 有 {count} 行]与[ {other_date} ]另一日的数值相同，数据源很可能尚未发布。",
	ValuesMissing:             "[{trade_date} 的 {dataset} 中，]本应总有数值的列[ {column} ]有过多的行为空[：{row_count} 行中有 {count} 行]。",
	ValuesConflict:            "[{trade_date} 的 {dataset} 有 {count} 行]数值与前一日或同日的其他数据集相互矛盾[：{sample}]。",
	UnitSuspect:               "[{trade_date} 的 {dataset} 有 {count} 行]成交额除以成交量超出最低价到最高价的范围，某一列的单位可能不同。",
	SymbolsMissing:            "[{trade_date} 的 {dataset} ]有[ {count} 个]代码缺少数据，而其他数据集或下一日证明它们有交易[：{sample}]。",
	SymbolsAbsent:             "[{trade_date} 的 {dataset} ]有[ {count} 个]已上市的代码没有数据，无法确定是否停牌[：{sample}]。",
	SuspensionsConfirmed:      "[{trade_date} ]交易的股票少于往常，数据源的停牌列表证实了这一点[：停牌 {suspended_count} 只]。",
	ValuesRevised:             "数据源修改了已存储日期中较多的行[：{trade_date} 的 {dataset} 有 {count} 行]。",
	SymbolRenamed:             "数据源更换了公司的代码[：{old_symbol} 现为 {new_symbol}]，其数据归入新代码。",
	ClockWrong:                "有[ {count} 条]记录的时间在未来，说明写入时时钟不准；这些记录按过期处理。",
	WALHeld:                   "有程序一直打开 targets.sqlite，预写日志无法截断。",
	RunAtEarly:                "计划的时刻[ {run_at} ]早于数据集[ {dataset} ]的到期时间[ {due_time}]，到期后由后续运行获取。",
	FileReplaced:              "股票池的文件在打开期间被替换，因此拒绝了待写入的提交。",
	StoreAltered:              "股票池的文件中不再是已提交的行[：{trade_date} 的 {dataset}]。",
	PublicationFailed:         "发布股票池失败，读者仍得到上一个版本。",
	PublicationRepaired:       "股票池的发布副本被损坏或删除，现已重建。",
	DataIncomplete:            "请求要求完整的数据，而有[ {count} 个]分区或代码不完整。",
	Unauthenticated:           "没有发送 API 密钥，或密钥格式错误、未知、过期或已吊销。",
	RoleRequired:              "密钥的角色[ {role} ]不允许这个调用[，需要 {required_role}]。",
	TooManyAttempts:           "该地址一分钟内发送了过多的无效密钥。",
	EtagMismatch:              "读取之后，对象已被更改。",
	TooManyCalls:              "同时打开的调用或流已达到编排器的上限[（{limit}：{value}）]。",
	CallTimeout:               "调用超过了服务允许的时间[（{seconds} 秒）]。",
	SlotReopened:              "时段在当日数据全部到期之前已有结果，或其运行未做任何事；之后计划改到当日更晚的时间，时段因此再次到期。",
}

// chineseRemedies has the Simplified Chinese of the part of a remedy before its command, by
// its English.
var chineseRemedies = map[string]string{
	"No action is needed: the slot starts at the new time.":                                                 "无需处理：时段会在新的时间开始。",
	"Create another admin key first (afterbell keys create NAME --role admin), or revoke this one by force": "请先创建另一个 admin 密钥（afterbell keys create NAME --role admin），或强制吊销此密钥",
	"Start a run, and read the data when it has ended":                                                      "开始一次运行，结束后再读取数据",
	"List the slots":                        "列出时段",
	"The pools are targets and universe":    "股票池为 targets 与 universe",
	"List the domains":                      "列出领域",
	"List the modules":                      "列出模块",
	"List the runs":                         "列出运行",
	"List the target sets":                  "列出目标集合",
	"List the keys":                         "列出密钥",
	"List the notices":                      "列出通知",
	"List the channels":                     "列出渠道",
	"List the tokens":                       "列出令牌",
	"Start a run":                           "开始一次运行",
	"Start a run, which repairs it":         "开始一次运行来修复它",
	"List the tables":                       "列出各表",
	"Omit version to read the current one.": "不写 version 即读取当前版本。",
	"Omit If-Match to read the file as it is now. To keep reading the same rows, set version to the X-Afterbell-Version of the first response.": "不写 If-Match 即读取当前的文件。若要一直读取相同的数据，请把 version 设为首次响应的 X-Afterbell-Version。",
	"Request the rows again.":                    "请重新请求这些数据。",
	"List what is held":                          "列出已有数据",
	"List the paths":                             "列出路径",
	"Use server reflection to list the methods.": "用服务器反射列出方法。",
	"Store the token that the provider's account page shows; no restart is needed":                                                                                       "存入数据源账户页面上的令牌，无需重启",
	"Copy the token again from the provider's account page and store it; no restart is needed":                                                                           "从数据源的账户页面重新复制令牌并存入，无需重启",
	"Stop the other machines that use this token. The provider forgets their addresses after 30 to 60 minutes; the run is retried automatically.":                        "停止其他使用该令牌的机器。数据源在 30 到 60 分钟后不再计入它们的地址；运行会自动重试。",
	"Upgrade the token at the provider (https://tushare.pro/document/1?doc_id=108 lists the points that each API needs), or disable the module. This lists the modules":  "在数据源处升级令牌（各接口所需积分见 https://tushare.pro/document/1?doc_id=108），或停用该模块。列出模块",
	"Upgrade the token at the provider (https://tushare.pro/document/1?doc_id=108 lists the points that each API needs), or disable the module":                          "在数据源处升级令牌（各接口所需积分见 https://tushare.pro/document/1?doc_id=108），或停用该模块",
	"Upgrade the token at the provider (https://tushare.pro/document/1?doc_id=108 lists the points that each API needs), or disable ETFs":                                "在数据源处升级令牌（各接口所需积分见 https://tushare.pro/document/1?doc_id=108），或停用 ETF",
	"No action is needed: the call is retried automatically. If the error persists, read the provider's answer in the message, and check the network and --tushare-url.": "无需处理：调用会自动重试。如果一直出错，请查看消息中数据源的应答，并检查网络和 --tushare-url。",
	"Look up the code in the provider's documentation and report a bug, because afterbell built the request. This lists the probe results":                               "请求由 afterbell 构造，请在数据源的文档中查这个代码，并报告缺陷。列出探测结果",
	"No action is needed: the call is made when the next minute begins.":                                                                                                 "无需处理：下一分钟开始时会调用。",
	"Wait for the next hour or day. If you have upgraded the token, discard the learned limits, and then start a run. This discards them":                                "等待下一小时或下一天。如果已升级令牌，先清除学到的限额，再开始一次运行。清除限额",
	"Check that --worker-addr of the orchestrator is the worker's address, and start the worker if it is not running":                                                    "检查编排器的 --worker-addr 是否为采集器的地址；如果采集器没有运行，请启动它",
	"Run a preflight again and read the cause in its output":                                                                                                             "重新做一次预检，从输出中查看原因",
	"If this persists, report a bug, and disable the module until then. To probe it again, run a preflight":                                                              "如果一直如此，请报告缺陷，并在此之前停用该模块。若要再次探测，做一次预检",
	"The issues of its modules say why. To probe them again, run a preflight":                                                                                            "其模块的问题说明了原因。若要再次探测，做一次预检",
	"Run a preflight": "做一次预检",
	"Enable a module": "启用一个模块",
	"Enable it":       "启用它",
	"Set the provider of the domain to tushare":                             "把领域的数据源设为 tushare",
	"Enable a module of the domain, or disable the domain. This lists both": "启用该领域的一个模块，或停用该领域。列出两者",
	"Disable the module. This lists the modules that are implemented":       "停用该模块。列出已实现的模块",
	"Close the program that has analysis.duckdb open, even read-only, and open published/universe.duckdb in it instead. The run is retried for three hours. This names the program":                         "关闭打开着 analysis.duckdb 的程序（只读也算），并在其中改为打开 published/universe.duckdb。运行会在三小时内自动重试。查看是哪个程序",
	"If the file is read-only, make it writable. Otherwise move it out of --data-dir and restart the ingest-worker; the next run fills a new file":                                                          "如果文件只读，请使其可写。否则把它移出 --data-dir 并重启采集器，下一次运行会填充新文件",
	"If the ingest-worker is sorting the file after an update, wait. Otherwise close the program that has a transaction open on targets.sqlite. The run is retried for three hours. This names the program": "如果 ingest-worker 正在升级后重排该文件，请等待；否则关闭在 targets.sqlite 上开着事务的程序。运行会在三小时内自动重试。查看是哪个程序",
	"Use a different --data-dir. To accept the new host for this file, restart the ingest-worker once with --accept-source":                                                                                 "使用另一个 --data-dir。若要让该文件接受新的数据源，请带 --accept-source 重启一次采集器",
	"Free space on the disk that holds --data-dir, and try again. This shows the space":                                                                                                                     "在 --data-dir 所在的磁盘上腾出空间，然后重试。查看剩余空间",
	"Read the error in the ingest-worker's log, fix its cause, and start a run.":                                                                                                                            "在采集器的日志中查看错误，消除原因，然后开始一次运行。",
	"No action is needed: the date is fetched again later.":                                                                                                                                                 "无需处理：该日期稍后会重新获取。",
	"No action is needed: the date is fetched again. If the response is the same on three days, it is accepted.":                                                                                            "无需处理：该日期会重新获取。如果三天的应答都相同，则接受。",
	"Compare with the provider's website. It is fetched again; if the response is still empty on three days, it is accepted.":                                                                               "请与数据源的网站核对。数据会重新获取；如果三天的响应都为空，则接受。",
	"No action is needed: re-checks of old dates fetch it again, each evening for 30 days and then weekly, as far as recheck_days allows. A run with refetch for the date fetches it at once.":              "无需处理：旧日期的复查会再次获取，30 天内每晚一次，之后每周一次，以 recheck_days 允许的数量为限。对该日期运行一次 refetch 可以立即获取。",
	"If you need one of these symbols, compare with another source. A run with refetch for that date fetches it again.":                                                                                     "如果需要其中的代码，请与其他来源核对。对该日期做一次带 refetch 的运行会重新获取。",
	"No action is needed: the run decides for each date whether rows are missing.":                                                                                                                          "无需处理：运行时按日期判断是否缺少数据。",
	"No action is needed: the run decides for each date whether values are missing.":                                                                                                                        "无需处理：运行时按日期判断是否缺少数值。",
	"No action is needed: the instrument list usually has them one day later.":                                                                                                                              "无需处理：列表通常在一天后包含它们。",
	"Read the rejected rows in published/universe.duckdb or in targets.sqlite":                                                                                                                              "在 published/universe.duckdb 或 targets.sqlite 中查看被拒收的行",
	"Compare with another source before you use these rows.":                                                                                                                                                "使用这些行之前，请与其他来源核对。",
	"No action is needed: the provider publishes the next calendar in December.":                                                                                                                            "无需处理：数据源在十二月发布下一年的日历。",
	"If no follow-up run is queued, start a run without dates; it fetches the calendar":                                                                                                                     "如果没有排队的后续运行，不指定日期运行一次，就会获取日历",
	"No action is needed: the first run that reaches the ingest-worker fetches it.":                                                                                                                         "无需处理：第一次能访问采集器的运行会获取它。",
	"No action is needed: a follow-up run fetches what is missing.":                                                                                                                                         "无需处理：后续运行会补齐缺少的数据。",
	"Start a new run when you are ready": "准备好后，开始新的运行",
	"No action is needed: the partition is retried. If it stalls again, read the ingest-worker's log.": "无需处理：分区会重试。如果再次停滞，请查看采集器的日志。",
	"No action is needed: the newer dispatch writes the partition.":                                    "无需处理：由较新的分派写入该分区。",
	"Check the current state": "查看当前状态",
	"Resume the schedule":     "恢复计划",
	"Resume the pool, and repeat the request when a run has ended":   "恢复股票池，并在运行结束后重复请求",
	"Enable the domain, and repeat the request when a run has ended": "启用该领域，并在运行结束后重复请求",
	"Enable the module, and repeat the request when a run has ended": "启用该模块，并在运行结束后重复请求",
	"Enable the schedule":                                                "启用计划",
	"No action is needed.":                                               "无需处理。",
	"No action is needed: the next run probes it first.":                 "无需处理：下一次运行会先探测它。",
	"Start a run for the date":                                           "对该日期开始一次运行",
	"Show that run":                                                      "查看那次运行",
	"Correct the field as the message says. Nothing was changed.":        "请按消息更正该字段；没有做任何更改。",
	"List the existing resources first.":                                 "请先列出现有的对象。",
	"Use a new UUID for each new request.":                               "每个新请求使用新的 UUID。",
	"Stop that process, or use a different --data-dir.":                  "停止那个进程，或使用另一个 --data-dir。",
	"Read the service's log at the time of the error, and report a bug.": "查看出错时服务的日志，并报告缺陷。",
	"No action is needed: the date is fetched again. If the error persists, compare with another source.":              "无需处理：该日期会重新获取。如果一直如此，请与其他来源核对。",
	"No action is needed: the date is fetched again.":                                                                  "无需处理：该日期会重新获取。",
	"Check the unit and the definition of the column before you compare dates before the change with dates after it.":  "请先核对该列的单位和定义，再比较变化前后的日期。",
	"No action is needed: the date is fetched again. If the error persists, do not use volume and amount of the date.": "无需处理：该日期会重新获取。如果一直如此，请勿使用该日期的成交量和成交额。",
	"List the symbols":                       "列出这些代码",
	"List them":                              "列出它们",
	"List the old and new values":            "列出旧值和新值",
	"Correct the target list. This shows it": "请更正目标列表。查看列表",
	"Replace the old code in your target list. This shows the list":                                                                                            "请替换目标列表中的旧代码。查看列表",
	"Check the clock of this machine":                                                                                                                          "检查这台机器的时钟",
	"Close the program that reads the file. This lists it":                                                                                                     "关闭读取该文件的程序。列出它",
	"Change the time of the schedule":                                                                                                                          "更改计划的时刻",
	"No action is needed: the file is reopened, and the next plan covers what it lacks.":                                                                       "无需处理：文件已重新打开，下一次规划会补上缺少的内容。",
	"Fetch the rows again":                                                                                                                                     "重新获取这些行",
	"Find the program that writes to the file, then fetch the day again":                                                                                       "找出写入该文件的程序，然后重新获取这一天",
	"No action is needed: the next run tries again. If it fails again, read the ingest-worker's log.":                                                          "无需处理：下一次运行会重试。如果再次失败，请查看采集器的日志。",
	"No action is needed. Make sure that readers only read the folder published.":                                                                              "无需处理。请确保读者只读取 published 目录。",
	"Repeat the request after the next run. To get the rows that exist, omit require; the answer then lists what is missing.":                                  "在下一次运行之后重复请求。若要得到已有的行，请去掉 require，应答会列出缺少的内容。",
	"Correct the symbol, or omit require to get the rows that exist. This searches the instruments":                                                            "请更正代码，或去掉 require 以得到已有的行。搜索品种",
	"Omit require to get the rows that exist, or fetch the dates once more":                                                                                    "去掉 require 以得到已有的行，或再次获取这些日期",
	"If the list does not have it, add it, and repeat the request after the next run":                                                                          "若目标列表中没有它，请加入，并在下一次运行之后重复请求",
	"Fetch the dates, and repeat the request when the run has ended":                                                                                           "获取这些日期，并在运行结束后重复请求",
	"Start a run, and repeat the request when it has ended":                                                                                                    "开始一次运行，并在其结束后重复请求",
	"The last run was blocked. This shows why and what to do":                                                                                                  "上次运行被阻止。查看原因和处理办法",
	"Check it now, or wait for the next run, which checks it first":                                                                                            "现在检查，或等待下一次运行（它会先检查）",
	"Send a valid key with --key-file FILE or the header \"Authorization: Bearer KEY\". An admin creates keys":                                                 "用 --key-file FILE 或请求头 \"Authorization: Bearer KEY\" 发送有效的密钥。由管理员创建密钥",
	"Use a key with the role that the message names. An admin creates keys":                                                                                    "请使用具有所需角色的密钥。由管理员创建密钥",
	"Correct the key in the program that sends the invalid one; its address is in the orchestrator's log. A valid key is always accepted. This lists the keys": "请在发送无效密钥的程序中更正密钥，其地址见编排器的日志。有效的密钥始终被接受。列出密钥",
	"Read the resource again, repeat the change on it, and send it with the new etag.":                                                                         "重新读取对象，在其上重做更改，并用新的 etag 发送。",
	"Close streams that nobody reads, and repeat the call after a second. The orchestrator's flags --max-streams, --max-streams-per-caller, --max-calls and --max-rate set the limits.": "关闭无人读取的流，一秒后重复调用。编排器的参数 --max-streams、--max-streams-per-caller、--max-calls 和 --max-rate 设定这些上限。",
	"Ask for less: fewer dates, symbols or pages. If the call was a change, read what there is before you repeat it. The flag --call-timeout sets the limit.":                           "请减少请求的内容：更少的日期、代码或页。如果调用是更改，请先查看现状再重复。参数 --call-timeout 设定上限。",
	"No action is needed. If you have upgraded the token":                 "无需处理。如果已升级令牌",
	"Start the run again after that time, or wait for the scheduled run.": "在那之后重新开始运行，或等待计划的运行。",
	"Start the orchestrator without --schedule=false.":                    "启动编排器时不要带 --schedule=false。",
}

// chineseNotFound has the sentences of NOT_FOUND by the kind of the resource, in the form of
// chinese.
var chineseNotFound = map[string]string{
	"run":                 "运行[ {id} ]不存在。",
	"slot":                "时段[ {id} ]不存在。",
	"pool":                "股票池[ {id} ]不存在；股票池有 targets 和 universe。",
	"domain":              "领域[ {id} ]不存在。",
	"module":              "模块[ {id} ]不存在。",
	"target set":          "目标集合[ {id} ]不存在。",
	"list of instruments": "还没有品种列表，第一次运行会获取。",
	"key":                 "密钥[ {id} ]不存在。",
	"notice":              "通知[ {id} ]不存在。",
	"channel":             "通知渠道[ {id} ]不存在。",
	"token":               "没有[为 {id} ]存储令牌。",
	"preflight":           "预检[ {id} ]不存在。",
	"table":               "表[ {id} ]不存在。",
	"version":             "版本[ {id} ]不存在：它已被删除，或从未存在。",
	unpublished:           "还没有发布[ {pool}]，运行结束时会发布。",
	"published copy":      "已发布的版本[ {id} ]已损坏，下一次运行会修复。",
	"file":                "文件已过期，请重新请求这些数据。",
	"partition":           "还没有[ {id} ]的数据。",
	"path":                "路径[ {id} ]不存在，见 /openapi.json。",
	"method":              "方法[ {id} ]没有实现。",
}

// unpublished is the kind of a version without an ID: none exists.
const unpublished = "version that is not published"

// ChineseIsComplete reports whether the Chinese message says all that the English one does.
func ChineseIsComplete(r Reason, meta map[string]string) bool {
	_, known := chineseNotFound[meta["kind"]]
	return r == NotFound && known && meta["kind"] != "table" && meta["before_schedule"] == ""
}

var (
	optional    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\[[^\]]*\]`) })
	placeholder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\{[a-z_]+\}`) })
)

// Chinese returns the message and the remedy of an issue in Simplified Chinese: the sentence
// of its reason with the values of meta, and the remedy with the same command. A text of a
// newer release has no Chinese and is empty.
func Chinese(r Reason, meta map[string]string, remedy string) (message, todo string) {
	sentence := chinese[r]
	if r == NotFound {
		kind := meta["kind"]
		if kind == "version" && meta["id"] == "" {
			kind = unpublished
		}
		sentence = cmp.Or(chineseNotFound[kind], sentence)
	}
	message = optional().ReplaceAllStringFunc(sentence, func(part string) string {
		whole := true
		text := placeholder().ReplaceAllStringFunc(part[1:len(part)-1], func(key string) string {
			v := meta[key[1:len(key)-1]]
			whole = whole && v != ""
			return v
		})
		if !whole {
			return ""
		}
		return text
	})
	if todo, ok := chineseRemedies[remedy]; ok {
		return message, todo
	}
	if at := strings.LastIndex(remedy, ": "); at > 0 && chineseRemedies[remedy[:at]] != "" {
		todo = chineseRemedies[remedy[:at]] + "：" + remedy[at+2:]
	}
	return message, todo
}
