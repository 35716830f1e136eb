#!/bin/sh
# build.sh FOLDER: makes a release in FOLDER, self-contained, with nothing but OTP's own tools.
#
#   KEPMD_EPMD   kepmd's program, to be put over the release's own epmd; without it the release
#                is an ordinary one, with stock epmd
set -eu
[ $# -eq 1 ] && [ ! -e "$1" ] || {
    echo "usage: build.sh FOLDER, which must not be there yet" >&2
    exit 2
}
mkdir -p "$1"
target=$(cd "$1" && pwd)
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

erlc -Wall -Werror -o "$work" src/*.erl
cp src/sample.app.src "$work/sample.app"

# systools wants the version of everything, a boot script, and gives an archive.
cat >"$work/pack.erl" <<'ERL'
-module(pack).
-export([main/0]).

main() ->
    {ok, [{release, Release, erts, Names}]} = file:consult("rel/sample.rel"),
    Applications = [{Name, version(Name)} || Name <- Names],
    Erts = {erts, erlang:system_info(version)},
    Work = os:getenv("WORK"),
    File = filename:join(Work, "sample"),
    ok = file:write_file(File ++ ".rel", io_lib:format("~p.~n", [{release, Release, Erts, Applications}])),
    ok = systools:make_script(File, [{path, [Work]}, no_module_tests, no_warn_sasl]),
    ok = systools:make_tar(File, [{path, [Work]}, {erts, code:root_dir()}, no_module_tests, no_warn_sasl]),
    {ok, _} = file:copy(filename:join([code:root_dir(), "bin", "start_clean.boot"]), File ++ ".clean"),
    ok = file:write_file(File ++ ".data", [element(2, Erts), " ", element(2, Release), "\n"]).

version(Name) ->
    _ = application:load(Name),
    {ok, Version} = application:get_key(Name, vsn),
    Version.
ERL
erlc -o "$work" "$work/pack.erl"
WORK=$work erl -noinput -boot no_dot_erlang -pa "$work" -eval 'pack:main(), halt().'

mkdir "$target/bin"
tar -xzf "$work/sample.tar.gz" -C "$target"
version=$(cut -d' ' -f2 "$work/sample.data")
cp "$work/sample.data" "$target/releases/start_erl.data"
cp "$work/sample.clean" "$target/releases/$version/start_clean.boot"
cp rel/vm.args "$target/releases/$version/"
cp rel/sample "$target/bin/"
od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$target/releases/COOKIE"
if [ -n "${KEPMD_EPMD:-}" ]; then
    cp -p "$target"/erts-*/bin/epmd "$(echo "$target"/erts-*/bin)/epmd.stock"
    cp "$KEPMD_EPMD" "$target"/erts-*/bin/epmd
fi
