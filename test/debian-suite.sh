# For scripts that take packages of a Debian suite without installing anything, by an apt of their own that knows only that suite; it checks
# the signatures. To be sourced with `scratch` set to a directory that may be made anew. Needs apt-get and Debian's keyring.

rm -rf "$scratch"
mkdir -p "$scratch/state/lists/partial" "$scratch/cache/archives/partial"

# The mirror that this machine uses, but not the one for security updates.
# shellcheck disable=SC2016 # for apt to expand
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
if [ -z "$mirror" ]; then
	echo "$0: apt knows no mirror yet: run apt-get update first" >&2
	exit 1
fi

# take_from KIND SUITE [OPTION]: adds a suite; KIND is deb or deb-src.
take_from() {
	echo "$1 [${3:+$3 }signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $2 main" >>"$scratch/sources.list"
}

# private TOOL ARGUMENT...: runs apt-get or apt-cache with these suites alone.
private() {
	tool=$1
	shift
	"$tool" -qq \
		-o Dir::Etc::sourcelist="$scratch/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State="$scratch/state" -o Dir::State::status=/dev/null -o Dir::Cache="$scratch/cache" \
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root "$@"
}
