package synthetic

import (
	"fmt"
	"strings"

	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// The known stocks exist in every market that is large enough, because users try familiar names
// first. base is in yuan/100, total in 10,000 shares.
var knownStocks = []struct {
	code, name, spell, area, industry string
	list                              int32
	base, total                       int64
}{
	{"600519.SH", "贵州茅台", "gzmt", "贵州", "白酒", 20010827, 148000, 125228},
	{"000001.SZ", "平安银行", "payh", "深圳", "银行", 19910403, 1150, 1940592},
	{"300750.SZ", "宁德时代", "ndsd", "福建", "电气设备", 20180611, 26000, 456000},
	{"601318.SH", "中国平安", "zgpa", "深圳", "保险", 20070301, 5200, 1821000},
	{"000858.SZ", "五粮液", "wly", "四川", "白酒", 19980427, 12800, 388161},
	{"600036.SH", "招商银行", "zsyh", "深圳", "银行", 20020409, 4300, 2521985},
	{"002594.SZ", "比亚迪", "byd", "深圳", "汽车整车", 20110630, 10600, 911700},
	{"688981.SH", "中芯国际", "zxgj", "上海", "半导体", 20200716, 9200, 798500},
	{"000002.SZ", "万科A", "wka", "深圳", "全国地产", 19910129, 720, 1193071},
	{"600000.SH", "浦发银行", "pfyh", "上海", "银行", 19991110, 1080, 2935218},
	{"601398.SH", "工商银行", "gsyh", "北京", "银行", 20061027, 700, 35640626},
	{"000333.SZ", "美的集团", "mdjt", "广东", "家用电器", 20130918, 7400, 766000},
	{"600900.SH", "长江电力", "cjdl", "北京", "水力发电", 20031118, 2800, 2446822},
	{"601899.SH", "紫金矿业", "zjky", "福建", "铜", 20080425, 1900, 2657700},
	{"600276.SH", "恒瑞医药", "hryy", "江苏", "化学制药", 20001018, 5300, 637900},
	{"002415.SZ", "海康威视", "hkws", "浙江", "IT设备", 20100528, 3000, 923300},
	{"300059.SZ", "东方财富", "dfcf", "上海", "证券公司", 20100319, 2300, 1578500},
	{"600030.SH", "中信证券", "zxzq", "深圳", "证券公司", 20030106, 2700, 1482000},
	{"601012.SH", "隆基绿能", "ljln", "陕西", "电气设备", 20120411, 1600, 757800},
	{"688111.SH", "金山办公", "jsbg", "北京", "软件服务", 20191118, 29000, 46250},
	{"300760.SZ", "迈瑞医疗", "mryl", "深圳", "医疗保健", 20181016, 24000, 121240},
	{"600887.SH", "伊利股份", "ylgf", "内蒙", "乳制品", 19960312, 2800, 636600},
	{"601857.SH", "中国石油", "zgsy", "北京", "石油开采", 20071105, 870, 18302098},
	{"920992.BJ", "中科美菱", "zkml", "安徽", "医疗保健", 20221018, 1800, 9673},
}

// board is one segment of the market.
type board struct {
	name     string
	exchange string // SSE, SZSE, BSE
	suffix   string
	from     int32 // first listing date
	amp      int64
	prefixes []string // three digits; BJ handles its own
	per      int      // codes used under one prefix
}

var boards = []board{
	{"主板", "SSE", ".SH", 19901219, 256, []string{"600", "601", "603", "605"}, 620},
	{"科创板", "SSE", ".SH", 20190722, 420, []string{"688", "689"}, 940},
	{"主板", "SZSE", ".SZ", 19901219, 256, []string{"000", "001", "002", "003"}, 560},
	{"创业板", "SZSE", ".SZ", 20091030, 400, []string{"300", "301"}, 940},
	{"北交所", "BSE", ".BJ", 20211115, 400, nil, 0},
}

// boardOf distributes the boards evenly over the numbers, so that a small market has all of them.
func boardOf(i int) int {
	switch m := (i * 37) % 100; {
	case m < 31:
		return 0
	case m < 42:
		return 1
	case m < 69:
		return 2
	case m < 95:
		return 3
	}
	return 4
}

// codeOf returns the k-th code of a board.
func (b *board) codeOf(k int) string {
	if b.prefixes == nil {
		if k%16 == 7 {
			return fmt.Sprintf("%s%03d.BJ", []string{"430", "831", "838", "872"}[k/16%4], 17+k)
		}
		return fmt.Sprintf("920%03d.BJ", k)
	}
	p := b.prefixes[min(k/b.per, len(b.prefixes)-1)]
	n := k % b.per
	return fmt.Sprintf("%s%03d%s", p, 1+n*998/b.per, b.suffix)
}

func (u *Universe) makeStocks(n int) []symbol {
	if n == 0 {
		return nil
	}
	// After 2026 one percent more are listed each year, up to the calendar's end.
	future := n * 14 / 100
	taken := map[string]bool{}
	var out []symbol
	known := min(len(knownStocks), n)
	for i := range known {
		k := knownStocks[i]
		s := symbol{code: k.code, key: hash(u.seed, int64(i), saltDay), base: k.base, total: k.total * 10000, amp: 256}
		taken[k.code] = true
		u.place(&s, k.list)
		u.sizeStock(&s, false)
		bi := 0
		for j := range boards {
			if inBoard(&boards[j], k.code) {
				bi = j
			}
		}
		s.bj, s.ah = bi == 4, bi == 1 || bi == 3
		s.cells = stockCells(&s, &boards[bi], k.name, k.spell, k.area, k.industry)
		out = append(out, s)
	}
	var used [5]int
	for i := known; i < n+future; i++ {
		bi := boardOf(i)
		b := &boards[bi]
		code := b.codeOf(used[bi])
		used[bi]++
		for taken[code] {
			code = b.codeOf(used[bi])
			used[bi]++
		}
		taken[code] = true
		s := symbol{code: code, key: hash(u.seed, int64(i), saltDay), amp: b.amp, bj: bi == 4, ah: bi == 1 || bi == 3}
		switch {
		case i >= n:
			u.place(&s, u.spread(s.key, 20270104, 20400101))
		case i%23 == 5:
			u.place(&s, u.spread(s.key, 20230103, 20261230))
		default:
			u.place(&s, u.spread(s.key, b.from, 20221230))
			if i%50 == 7 && b.from < 20100000 {
				u.remove(&s, 20050104, 20280104)
			}
		}
		old := bi == 4 && !strings.HasPrefix(code, "920")
		if old {
			u.remove(&s, 20221115, 20250930)
		}
		u.sizeStock(&s, true)
		name, spell := stockName(s.key, s.gone != 0)
		h := hash(s.key, 3, saltYear)
		s.cells = stockCells(&s, b, name, spell, areas[h%uint64(len(areas))], industries[h>>16%uint64(len(industries))])
		out = append(out, s)
	}
	return out
}

func inBoard(b *board, code string) bool {
	if !strings.HasSuffix(code, b.suffix) {
		return false
	}
	if b.prefixes == nil {
		return true
	}
	for _, p := range b.prefixes {
		if strings.HasPrefix(code, p) {
			return true
		}
	}
	return false
}

// sizeStock sets the price level, shares and turnover.
func (u *Universe) sizeStock(s *symbol, all bool) {
	h := hash(s.key, 4, saltYear)
	if all {
		// 2 to 90 yuan, mostly low.
		r := unit(h, 0)
		s.base = 200 + r*r*r*8800/(1023*1023*1023) + unit(h, 10)*3
		// 60 million to 4 billion shares, mostly few.
		q := unit(h, 20)
		s.total = 60_000_000 + q*q*q/1023*3700 + int64(h>>30&0xfffff)
	}
	s.float = s.total / 1024 * (360 + unit(h, 40)*664/1023)
	s.free = s.float / 1024 * (400 + unit(h, 50)*500/1023)
	// The turnover is 0.3 to 3.3 % of the float.
	s.turn = s.float / 10000 * (30 + unit(hash(s.key, 5, saltYear), 0)*300/1023)
	s.exDay = int32(hash(s.key, 6, saltYear) % 243)
}

var (
	areas      = []string{"北京", "上海", "深圳", "浙江", "江苏", "广东", "山东", "福建", "四川", "湖北", "湖南", "安徽", "河南", "河北", "陕西", "重庆", "天津", "辽宁", "江西", "新疆", "云南", "贵州", "吉林", "山西"}
	industries = []string{"软件服务", "电气设备", "元器件", "专用机械", "化工原料", "汽车配件", "化学制药", "通信设备", "医疗保健", "半导体", "环境保护", "建筑工程", "食品", "机械基件", "塑料", "互联网", "中成药", "纺织", "小金属", "证券公司", "银行", "煤炭开采", "新型电力", "航空"}
	syllables  = []struct{ han, py, en string }{
		{"华", "h", "Hua"}, {"明", "m", "Ming"}, {"中", "z", "Zhong"}, {"盛", "s", "Sheng"}, {"东", "d", "Dong"}, {"科", "k", "Ke"},
		{"天", "t", "Tian"}, {"瑞", "r", "Rui"}, {"金", "j", "Jin"}, {"海", "h", "Hai"}, {"宏", "h", "Hong"}, {"达", "d", "Da"},
		{"新", "x", "Xin"}, {"泰", "t", "Tai"}, {"安", "a", "An"}, {"远", "y", "Yuan"}, {"国", "g", "Guo"}, {"恒", "h", "Heng"},
		{"立", "l", "Li"}, {"方", "f", "Fang"}, {"信", "x", "Xin"}, {"德", "d", "De"}, {"博", "b", "Bo"}, {"联", "l", "Lian"},
		{"宝", "b", "Bao"}, {"嘉", "j", "Jia"}, {"润", "r", "Run"}, {"凯", "k", "Kai"}, {"源", "y", "Yuan"}, {"星", "x", "Xing"},
		{"通", "t", "Tong"}, {"丰", "f", "Feng"},
	}
	endings = []struct{ han, py, en string }{
		{"科技", "kj", "Technology"}, {"股份", "gf", "Holdings"}, {"电子", "dz", "Electronics"}, {"医药", "yy", "Pharmaceutical"},
		{"材料", "cl", "Materials"}, {"智能", "zn", "Intelligent"}, {"能源", "ny", "Energy"}, {"精工", "jg", "Precision"},
	}
	owners = []string{"民营企业", "地方国企", "中央国企", "外资企业", "无"}
)

func stockName(key uint64, gone bool) (name, spell string) {
	h := hash(key, 8, saltYear)
	a, b, e := syllables[h&31], syllables[h>>5&31], endings[h>>10&7]
	name, spell = a.han+b.han+e.han, a.py+b.py+e.py
	switch {
	case gone:
		name = a.han + b.han + "退"
		spell = a.py + b.py + "t"
		if h>>20&1 == 0 {
			name, spell = "退市"+a.han+b.han, "ts"+a.py+b.py
		}
	case h>>13%40 == 0:
		name, spell = "*ST"+a.han+b.han, "*st"+a.py+b.py
	}
	return name, spell
}

// stockCells returns the columns of stock_basic as JSON texts. list_status and delist_date are
// set when the day is known.
func stockCells(s *symbol, b *board, name, spell, area, industry string) []string {
	h := hash(s.key, 9, saltYear)
	x, y, e := syllables[h&31], syllables[h>>5&31], endings[h>>10&7]
	actName, actType := "null", "null"
	if h>>13&63 >= 33 {
		actName = wire.Quote(x.han + y.han)
		actType = wire.Quote(owners[h>>20%uint64(len(owners))])
	}
	if h>>26%1000 == 0 {
		area, industry = "", ""
	}
	hs := "N"
	if !s.bj && h>>36&1 == 0 {
		hs = map[string]string{"SSE": "H", "SZSE": "S"}[b.exchange]
	}
	full := strings.TrimPrefix(strings.TrimPrefix(name, "*ST"), "退市")
	return []string{
		wire.Quote(s.code), wire.Quote(s.code[:6]), wire.Quote(name), wire.QuoteOrNull(area), wire.QuoteOrNull(industry),
		wire.Quote(spell), wire.Quote(b.name), wire.Quote(fmt.Sprint(s.listed)), actName, actType,
		wire.Quote(full + "股份有限公司"), wire.Quote(x.en + y.en + " " + e.en + " Co., Ltd."), wire.Quote(b.exchange), `"CNY"`,
		"null", "null", wire.Quote(hs),
	}
}
