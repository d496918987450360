module github.com/afterbell/afterbell/services/tusharesim

go 1.26.0
