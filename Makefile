# The four things that are done most; bash run_all.sh --help lists the rest.
.PHONY: setup test smoke report
setup: ## make the environment
	bash run_all.sh setup
test: ## run the fast tests
	bash run_all.sh test
smoke: ## run all notebooks with small settings
	bash run_all.sh --profile smoke
report: ## run the study on this machine's profile, and build its site
	bash run_all.sh --report
