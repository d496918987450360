package synthetic

import (
	"fmt"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// fundKind is a kind of fund as fund_basic describes it. As in the real list, none of these
// texts has "ETF", so that a tool that searches for it fails.
type fundKind struct {
	fundType, investType, theme string
	amp, base                   int64 // base in yuan/1000, 0 = by chance
}

var fundKinds = []fundKind{
	{"股票型", "被动指数型", "300", 200, 0},
	{"股票型", "被动指数型", "500", 230, 0},
	{"股票型", "被动指数型", "芯片", 330, 0},
	{"股票型", "被动指数型", "医药", 260, 0},
	{"股票型", "增强指数型", "增强", 220, 0},
	{"股票型", "被动指数型", "红利", 150, 0},
	{"债券型", "被动指数型", "国债", 10, 110000},
	{"商品型", "黄金现货合约", "黄金", 130, 5200},
	{"货币市场型", "货币型", "快线", 1, 100000},
	{"混合型", "灵活配置型", "混合", 180, 0},
	{"REITs", "REITs", "REIT", 90, 3200},
}

var managers = []string{"华夏基金", "易方达基金", "南方基金", "华泰柏瑞基金", "国泰基金", "广发基金", "富国基金", "嘉实基金", "博时基金", "招商基金", "天弘基金", "鹏华基金"}
var custodians = []string{"中国银行", "工商银行", "建设银行", "农业银行", "交通银行", "招商银行"}

// knownFunds exist in every market that is large enough. base is in yuan/1000.
var knownFunds = []struct {
	code, name, manager string
	list                int32
	kind                int
	base                int64
}{
	{"510300.SH", "300ETF", "华泰柏瑞基金", 20120528, 0, 4100},
	{"159915.SZ", "创业板", "易方达基金", 20111209, 0, 2200},
	{"510500.SH", "500ETF", "南方基金", 20130315, 1, 6100},
	{"588000.SH", "科创50", "华夏基金", 20201116, 2, 1100},
	{"510050.SH", "50ETF", "华夏基金", 20050223, 0, 2900},
	{"512880.SH", "证券ETF", "国泰基金", 20160808, 0, 1050},
	{"518880.SH", "黄金ETF", "华安基金", 20130729, 7, 6200},
	{"513100.SH", "纳指ETF", "国泰基金", 20130515, 0, 1600},
	{"511880.SH", "银华日利", "银华基金", 20130418, 8, 100500},
	{"159919.SZ", "300ETF", "嘉实基金", 20120528, 0, 4200},
	{"159949.SZ", "创50ETF", "华安基金", 20160722, 0, 1000},
	{"515030.SH", "新汽车", "华夏基金", 20200304, 2, 1300},
	{"512100.SH", "1000ETF", "南方基金", 20161104, 1, 2500},
	{"511010.SH", "国债ETF", "国泰基金", 20130325, 6, 138000},
	{"161725.SZ", "白酒基金LOF", "招商基金", 20150612, 0, 900},
	{"508000.SH", "张江REIT", "华安基金", 20210621, 10, 3300},
}

var (
	etfSH = []string{"510", "512", "515", "516", "513", "517", "560", "561", "562", "563", "588", "589", "511", "518", "520", "530", "551"}
	lofSZ = []string{"160", "161", "162", "163", "164", "165", "166", "167", "168", "169"}
	lofSH = []string{"501", "502", "506"}
)

// fundCode returns the code of the k-th fund of a class and its usual kinds.
func fundCode(class, k int) string {
	switch class {
	case 0: // Shanghai ETF
		return fmt.Sprintf("%s%02d0.SH", etfSH[k%len(etfSH)], k/len(etfSH)%100)
	case 1: // Shenzhen ETF
		return fmt.Sprintf("159%03d.SZ", 1+k%999)
	case 2: // Shenzhen LOF
		return fmt.Sprintf("%s%03d.SZ", lofSZ[k%len(lofSZ)], 101+k/len(lofSZ)*7%899)
	case 3: // Shanghai LOF
		return fmt.Sprintf("%s%03d.SH", lofSH[k%len(lofSH)], 1+k/len(lofSH)*5%998)
	case 4: // Shanghai REIT
		return fmt.Sprintf("508%03d.SH", k%999)
	}
	return fmt.Sprintf("180%03d.SZ", 101+k%800)
}

// fundClass distributes the classes so that about 1,300 of 1,900 funds are ETFs.
func fundClass(i int) int {
	switch m := (i * 7) % 19; {
	case m < 7:
		return 0
	case m < 13:
		return 1
	case m < 17:
		return 2
	case m < 18:
		return 3
	}
	return 4 + i/19%2
}

func (u *Universe) makeFunds(n int) []symbol {
	if n == 0 {
		return nil
	}
	future := n * 14 / 100
	taken := map[string]bool{}
	var out []symbol
	known := min(len(knownFunds), n)
	for i := range known {
		k := knownFunds[i]
		s := symbol{code: k.code, key: hash(u.seed, int64(i), saltSlow), base: k.base, kind: k.kind}
		taken[k.code] = true
		u.place(&s, k.list)
		u.sizeFund(&s, true)
		s.cells = fundCells(&s, k.name, k.manager)
		out = append(out, s)
	}
	var used [6]int
	for i := known; i < n+future; i++ {
		class := fundClass(i)
		code := fundCode(class, used[class])
		used[class]++
		for taken[code] {
			code = fundCode(class, used[class])
			used[class]++
		}
		taken[code] = true
		s := symbol{code: code, key: hash(u.seed, int64(i), saltSlow)}
		h := hash(s.key, 3, saltFast)
		from := int32(20050223)
		switch {
		case class >= 4:
			s.kind, from = 10, 20210621
		case class >= 2:
			s.kind = []int{0, 1, 4, 9}[h%4]
		default:
			s.kind = int(h % 9)
		}
		switch {
		case i >= n:
			u.place(&s, u.spread(s.key, 20270104, 20400101))
		case i%4 == 1:
			u.place(&s, u.spread(s.key, 20230103, 20261230))
		default:
			u.place(&s, u.spread(s.key, from, 20221230))
			if class == 2 && i%5 == 0 || class < 2 && i%33 == 0 {
				u.remove(&s, 20120104, 20280104)
			}
		}
		// A few funds do not trade on many days.
		switch {
		case class < 2 && h>>20%25 == 0:
			s.idle = 0x4000
		case class == 2 && h>>20%10 == 0:
			s.idle = 0x5000
		}
		u.sizeFund(&s, false)
		m := managers[h>>30%uint64(len(managers))]
		name := fundKinds[s.kind].theme
		switch {
		case class >= 4:
			name = m[:6] + "REIT"
		case class >= 2:
			name = m[:6] + name + "LOF"
		case h>>40%10 == 0:
			name += "ETF"
		default:
			name += m[:6]
		}
		s.cells = fundCells(&s, name, m)
		out = append(out, s)
	}
	return out
}

func (u *Universe) sizeFund(s *symbol, priced bool) {
	h := hash(s.key, 4, saltFast)
	k := &fundKinds[s.kind]
	s.amp = k.amp
	if !priced {
		s.base = k.base
		if s.base == 0 {
			s.base = 500 + unit(h, 0)*unit(h, 10)*4500/(1023*1023)
		}
	}
	s.total = 20_000_000 + unit(h, 20)*unit(h, 30)*3000
	s.float, s.free = s.total, s.total
	s.turn = s.total/100*(unit(h, 40)*8/1023) + 2000 + unit(h, 50)*90
	s.issued = calendar.AddDays(s.listed, -40)
	s.exDay = -1
	if h>>60 == 0 {
		s.exDay = int32(h % 243)
	}
}

// fundCells returns the columns of fund_basic as JSON texts. list_date, delist_date and status
// are set when the day is known.
func fundCells(s *symbol, name, manager string) []string {
	h := hash(s.key, 5, saltFast)
	k := &fundKinds[s.kind]
	amount := make([]byte, wire.Room)
	amount = amount[:wire.Put4(amount, 0, s.total/10000)]
	minAmount := "0.1"
	if h%9 == 0 {
		minAmount = "null"
	}
	benchmark := wire.Quote("中证" + k.theme + "指数收益率")
	if h>>8%21 == 0 {
		benchmark = "null"
	}
	opened := wire.Quote(calendar.Text(s.listed))
	return []string{
		wire.Quote(s.code), wire.Quote(name), wire.Quote(manager), wire.Quote(custodians[h>>16%uint64(len(custodians))]), wire.Quote(k.fundType),
		wire.Quote(calendar.Text(calendar.AddDays(s.listed, -14))), "null", opened, wire.Quote(calendar.Text(s.issued)), "null",
		string(amount), []string{"0.5", "0.15", "1.0"}[h>>24%3], []string{"0.1", "0.05", "0.2"}[h>>24%3], "null", "1.0", minAmount, "null",
		benchmark, "null", wire.Quote(k.investType), `"契约型开放式"`, "null", opened, opened, `"E"`,
	}
}
