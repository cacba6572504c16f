// Package managers of languages. A default place that holds more than a cache (~/.cargo has the programs, ~/.gradle the
// settings) is not covered by a mount: those caches are somewhere of their own, and a variable says where.
extension Preset {
    static let languagePackages = javaScript + python + goTools + jvm + others

    private static let javaScript = [
        Preset(
            "npm", "npm packages (_cacache)",
            caches: [
                Cache(
                    "npm", at: "~/.npm", .shared, because: "content arrives by rename and index lines by atomic append", addOnly: true,
                    check: Check(arguments: ["npm", "cache", "verify"], effect: "re-hashes all content and drops what is damaged")
                )
            ],
            variables: [Variable("npm_config_cache", "{npm}"), Variable("npm_config_update_notifier", "false", .setIfUnset)],
            notes: ["`npm cache clean` and `npm cache verify` beside a running npm make that fail: do them with --sharing locked."]
        ),
        Preset(
            "yarn", "Yarn 1, and Yarn 2 and later",
            caches: [
                Cache("yarn", at: "~/.cache/yarn", .locked, because: "Yarn 1 unpacks in place and locks only with --mutex", addOnly: false),
                Cache("yarn-berry", at: "~/.yarn/berry", .shared, because: "Yarn 2 and later rename whole archives into place", addOnly: true),
            ],
            variables: [Variable("YARN_CACHE_FOLDER", "{yarn}"), Variable("YARN_GLOBAL_FOLDER", "{yarn-berry}")],
            notes: ["Yarn 2 and 3 use yarn-berry with enableGlobalCache: true, which Yarn 4 does by itself, and the other one without."]
        ),
        Preset(
            "pnpm", "the pnpm store",
            caches: [
                Cache(
                    "pnpm", at: "~/.local/share/pnpm/store", .shared, because: "files are content-addressed and arrive by rename",
                    // Its index can be an SQLite database, of which files from two places make no whole.
                    addOnly: false
                )
            ],
            // pnpm 10 and before read the first, pnpm 11 the second.
            variables: [Variable("npm_config_store_dir", "{pnpm}"), Variable("pnpm_config_store_dir", "{pnpm}")],
            notes: ["A hard link cannot leave a mount: pnpm copies into node_modules, or clones where the filesystem can."]
        ),
    ]

    private static let python = [
        Preset(
            "pip", "pip downloads and wheels built from source",
            caches: [
                Cache("pip", at: "~/.cache/pip", .shared, because: "files are keyed by URL and arrive by rename", addOnly: true)
            ],
            // Images for containers like to set PIP_NO_CACHE_DIR, any value of which turns the cache off; pip takes empty for unset.
            variables: [Variable("PIP_CACHE_DIR", "{pip}"), Variable("PIP_NO_CACHE_DIR", "", .set)],
            notes: ["pip turns a cache off that its user does not own: --uid and --gid at `larder cache create`, or an owner view."]
        ),
        Preset(
            "uv", "uv packages, wheels and interpreters' metadata",
            caches: [
                Cache("uv", at: "~/.cache/uv", .shared, because: "uv locks the cache and its entries with flock, and renames whole trees into place", addOnly: true)
            ],
            // The cache and the environment are different mounts, between which there are no hard links.
            variables: [Variable("UV_CACHE_DIR", "{uv}"), Variable("UV_NO_CACHE", "false"), Variable("UV_LINK_MODE", "copy", .setIfUnset)]
        ),
    ]

    private static let goModules = Cache(
        "go-mod", at: "~/go/pkg/mod", .shared, because: "every module has a lock file inside the cache, held with flock", addOnly: true
    )
    private static let goBuilds = Cache(
        "go-build", at: "~/.cache/go-build", .shared, because: "entries verify themselves by size and hash", addOnly: true
    )
    private static let goModuleVariable = Variable("GOMODCACHE", "{go-mod}")
    private static let goBuildVariable = Variable("GOCACHE", "{go-build}")

    private static let goTools = [
        Preset(
            "go", "Go modules and compiled packages: go-mod and go-build", caches: [goModules, goBuilds],
            variables: [goModuleVariable, goBuildVariable]
        ),
        Preset("go-mod", "Go modules", caches: [goModules], variables: [goModuleVariable]),
        Preset("go-build", "packages that the Go compiler made", caches: [goBuilds], variables: [goBuildVariable]),
    ]

    private static let jvm = [
        Preset(
            "maven", "the local Maven repository",
            caches: [
                Cache("maven", at: "~/.m2/repository", .locked, because: "Maven 3 locks within one JVM alone", addOnly: false)
            ],
            variables: [Variable("MAVEN_OPTS", "-Dmaven.repo.local={maven}", .append)],
            notes: [
                "Maven 4, and 3.9 with -Daether.syncContext.named.factory=file-lock -Daether.syncContext.named.nameMapper=file-gav, can share: --sharing shared.",
                "settings.xml is read from ~/.m2 as before.",
            ]
        ),
        Preset(
            "gradle", "Gradle's user home: dependencies, distributions, build cache",
            caches: [
                Cache(
                    "gradle", at: "~/.cache/larder/gradle", .locked,
                    because: "a process asks the owner of a lock over loopback to let go, which containers cannot hear", addOnly: false
                )
            ],
            // A daemon would live on and keep the cache.
            variables: [Variable("GRADLE_USER_HOME", "{gradle}"), Variable("GRADLE_OPTS", "-Dorg.gradle.daemon=false", .append)],
            notes: ["gradle.properties and init.d of ~/.gradle are not read: give properties as ORG_GRADLE_PROJECT_NAME or -P."]
        ),
    ]

    private static let others = [
        Preset(
            "cargo", "Cargo's home: registry, git checkouts, and their lock",
            caches: [
                Cache(
                    "cargo", at: "~/.cache/larder/cargo", .shared,
                    because: "all of CARGO_HOME is in it, and so is the lock that guards registry/ and git/", addOnly: false
                )
            ],
            variables: [Variable("CARGO_HOME", "{cargo}")],
            notes: [
                "config.toml and credentials.toml of ~/.cargo are read only where cargo finds them above the working directory; tokens also come from CARGO_REGISTRIES_NAME_TOKEN.",
                "The build's own target/ is no part of it.",
            ]
        ),
        Preset(
            "composer", "Composer packages and repository metadata",
            caches: [
                Cache("composer", at: "~/.cache/composer", .shared, because: "metadata arrives by rename, and archives are verified when read", addOnly: true)
            ],
            variables: [Variable("COMPOSER_CACHE_DIR", "{composer}")]
        ),
        Preset(
            "bundler", "gems that Bundler fetched, and its indexes",
            caches: [
                Cache("bundler", at: "~/.bundle/cache", .locked, because: "gems are written in place", addOnly: false)
            ],
            variables: [Variable("BUNDLE_USER_CACHE", "{bundler}"), Variable("BUNDLE_GLOBAL_GEM_CACHE", "true")]
        ),
        Preset(
            "nuget", "NuGet packages, downloads, and their locks",
            caches: [
                Cache(
                    "nuget", at: "~/.cache/larder/nuget", .shared,
                    because: "NUGET_SCRATCH holds the locks between processes, and is inside the cache", addOnly: false
                )
            ],
            variables: [
                Variable("NUGET_PACKAGES", "{nuget}/packages"), Variable("NUGET_HTTP_CACHE_PATH", "{nuget}/http-cache"),
                Variable("NUGET_PLUGINS_CACHE_PATH", "{nuget}/plugins-cache"), Variable("NUGET_SCRATCH", "{nuget}/scratch"),
            ],
            notes: ["obj/project.assets.json names the packages by path: build where you restored."]
        ),
    ]
}
