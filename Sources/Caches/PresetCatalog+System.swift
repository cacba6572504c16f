// Package managers of distributions. All of them are for root.
extension Preset {
    static let systemPackages = [
        Preset(
            "apt", "Debian and Ubuntu packages and package lists",
            caches: [
                Cache(
                    "apt", at: "/var/cache/apt", .locked,
                    because: "apt tries its lock on archives/ once and fails, whatever DPkg::Lock::Timeout says", addOnly: false
                ),
                Cache("apt-lists", at: "/var/lib/apt/lists", .locked, because: "as its archives: apt does not wait for the lock", addOnly: false),
            ],
            variables: [],
            // apt reads the file of APT_CONFIG before all others (apt.conf(5)).
            files: [
                File(
                    name: "apt.conf", variable: "APT_CONFIG",
                    lines: [
                        #"#include "{previous}";"#,
                        #"Dir::Cache "{apt}";"#,
                        #"Dir::State::Lists "{apt-lists}";"#,
                        #"APT::Keep-Downloaded-Packages "true";"#,
                        #"Binary::apt::APT::Keep-Downloaded-Packages "true";"#,
                    ]
                )
            ],
            // Official container images delete what was downloaded, by its path, after each run of dpkg.
            masks: ["/etc/apt/apt.conf.d/docker-clean"],
            notes: ["No check: apt compares every archive with the signed lists before using it."]
        ),
        Preset(
            "dnf", "Fedora and RHEL packages and metadata (dnf 4 and 5)",
            caches: [
                Cache("dnf", at: "/var/cache/dnf", .locked, because: "one process at a time writes metadata; others fail or wait on a pid file", addOnly: false),
                Cache("dnf5", at: "/var/cache/libdnf5", .locked, because: "as dnf 4", addOnly: false),
            ],
            variables: [],
            notes: [
                "dnf has no variable for its cache: use `larder run` or mount it.",
                "Packages stay only with keepcache=True in dnf.conf, or dnf --setopt=keepcache=True.",
            ]
        ),
        Preset(
            "apk", "Alpine packages and indexes",
            caches: [
                Cache(
                    "apk", at: "/etc/apk/cache", .locked, because: "apk locks the database of the system it installs to, not the cache",
                    addOnly: false
                )
            ],
            variables: [],
            notes: ["apk uses the directory when it is there, unless called with --no-cache, and has no variable for it: use `larder run` or mount it."]
        ),
    ]
}
