# The front of the project; meson and ninja do the work behind it.
#
#   make                 release binary at build/stint
#   make demo            install what is missing, build, get real models, do the main job
#   make test            build and run every test
#   make check           style and rooms
#   make bench           speed on this machine
#   make bench-peers     beside llama.cpp, ONNX Runtime and PyTorch (PEERS="FOLDER ...")
#   make fuzz            fuzz every parser (SECONDS=300 each)
#   make install PREFIX=/usr/local

BUILD ?= build
PREFIX ?= /usr/local
SECONDS ?= 300
STINT = $(BUILD)/stint

.PHONY: all demo test check bench bench-peers fuzz install clean deps deps-test models

all: deps
	@tools/build.sh $(BUILD)

deps:
	@tools/install.sh build

deps-test:
	@tools/install.sh build models test

models: all
	@tools/install.sh models
	@tools/fetch-models.sh $(STINT)

demo: models
	@tools/demo.sh $(STINT)

test: deps-test models
	@tools/test.sh $(BUILD)

check:
	@python3 tools/check_style.py
	@python3 tools/check_rooms.py
	@python3 tools/check_headers.py $(or $(CC),cc)

bench: models
	@$(STINT) bench -m .cache/models/smollm2-135m-instruct.gguf

bench-peers: models
	@tools/install.sh peers
	@bench/peers/setup.sh
	@python3 bench/peers/compare.py --stint $(STINT) $(PEERS)

fuzz:
	@tools/install.sh build test
	@tools/fuzz.sh $(SECONDS)

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan build-tsan build-fuzz
