# docker, containerd, podman, buildah and conmon with ours for runc, as far as installed; by hand.
.PHONY: clients
clients: $(O)/runsc
	python3 tests/clients/run.py $(O)/runsc $(T)
