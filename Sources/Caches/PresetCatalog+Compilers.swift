// Caches of compilers' results.
extension Preset {
    static let compilers = [
        Preset(
            "ccache", "objects that C and C++ compilers made",
            caches: [
                Cache(
                    "ccache", at: "~/.cache/ccache", .shared, because: "results arrive by rename, and locks are in the cache",
                    // Every directory counts its files in a file of its own; a merge would leave those numbers wrong.
                    addOnly: false,
                    check: Check(arguments: ["ccache", "--cleanup"], effect: "counts files and sizes anew and removes temporary files")
                )
            ],
            variables: [Variable("CCACHE_DIR", "{ccache}"), Variable("CCACHE_COMPILERCHECK", "content", .setIfUnset)],
            notes: ["Needs the compiler to be called through it: CC='ccache gcc', or /usr/lib/ccache first in PATH."]
        ),
        Preset(
            "sccache", "objects that compilers for C, C++, Rust and CUDA made",
            caches: [
                Cache("sccache", at: "~/.cache/sccache", .shared, because: "results arrive by rename under the hash of their input", addOnly: true)
            ],
            variables: [Variable("SCCACHE_DIR", "{sccache}")],
            notes: [
                "A server that runs already, on port 4226, uses the directory it was started with: sccache --stop-server first.",
                "The server that a command starts ends with `larder run`.",
            ]
        ),
    ]
}
