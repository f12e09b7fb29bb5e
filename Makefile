# The things that are done most; bash run_all.sh --help lists the rest.
.PHONY: setup test mutate smoke report
setup: ## make the environment
	bash run_all.sh setup
test: ## run the fast tests
	bash run_all.sh test
mutate: ## plant small errors in the code that numbers hang on: 90% must be found
	.venv/bin/python tests/project/mutate.py
smoke: ## run all notebooks with small settings
	bash run_all.sh --profile smoke
report: ## run the study on this machine's profile, and build its site
	bash run_all.sh --report
