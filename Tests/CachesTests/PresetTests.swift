import Testing

@testable import Caches

@Suite("Presets")
struct PresetTests {
    static let wanted = [
        "apk", "apt", "bundler", "cargo", "ccache", "composer", "dnf", "go", "go-build", "go-mod", "gradle", "maven", "npm", "nuget", "pip", "pnpm",
        "sccache", "uv", "yarn",
    ]

    @Test func allPresetsAreThereInOrder() {
        #expect(Preset.all.map(\.name) == Self.wanted)
    }

    @Test(arguments: Preset.all)
    func everyPlaceholderHasACacheAndEveryCacheAName(_ preset: Preset) {
        let ids = Set(preset.caches.map(\.id))
        for cache in preset.caches {
            #expect(CacheName(cache.id)?.encoded == cache.id)
            #expect(cache.target.hasPrefix("/") || cache.target.hasPrefix("~/"))
            #expect(!cache.sharingReason.isEmpty)
        }
        #expect(ids.count == preset.caches.count)
        for text in preset.variables.map(\.value) + preset.files.flatMap(\.lines) {
            for name in Self.placeholders(text) { #expect(ids.contains(name) || name == "previous", "\(text)") }
        }
        // Each cache is either at the place where the tool looks by itself, or a variable leads there.
        let named = Set((preset.variables.map(\.value) + preset.files.flatMap(\.lines)).flatMap(Self.placeholders))
        for cache in preset.caches { #expect(named.contains(cache.id) || cache.target.hasPrefix("/")) }
    }

    /// `first` and `second` are two presets with one cache: they must say the same about it.
    @Test func aCacheMeansTheSameInEveryPresetThatHasIt() {
        var seen: [String: Preset.Cache] = [:]
        for cache in Preset.all.flatMap(\.caches) {
            if let other = seen.updateValue(cache, forKey: cache.id) { #expect(other == cache) }
        }
        #expect(seen.count == 21)
    }

    /// A private instance's files are linked into main one by one: a tool that keeps a database in its cache would find the log
    /// of one beside the pages of another.
    @Test(arguments: ["cargo", "pnpm", "ccache", "gradle", "maven", "apt", "nuget"])
    func toolsWithAnIndexOfTheirWholeCacheAreNotMerged(_ name: String) throws {
        for cache in try #require(Preset.named(name)).caches { #expect(!cache.isAddOnly) }
    }

    @Test func aCacheBelongsToThePresetThatHasFewestOthers() throws {
        #expect(Preset.owning(cache: "go-mod")?.preset.name == "go-mod")
        #expect(Preset.owning(cache: "apt-lists")?.preset.name == "apt")
        #expect(Preset.owning(cache: "go") == nil)
    }

    @Test func homeIsExpandedAndNothingElse() throws {
        let mounts = try #require(Preset.named("go")).mounts(home: "/home/ann/")
        #expect(mounts.map(\.target) == ["/home/ann/go/pkg/mod", "/home/ann/.cache/go-build"])
        #expect(mounts.map(\.settings.preset) == ["go", "go"])
        #expect(try #require(Preset.named("apt")).mounts(home: "/root").map(\.target) == ["/var/cache/apt", "/var/lib/apt/lists"])
        // Where a mount over the default place would hide programs or settings, it is not used.
        for name in ["cargo", "gradle", "nuget"] { #expect(Preset.named(name)?.mounts(home: "/h").first?.target == "/h/.cache/larder/\(name)") }
    }

    @Test func variablesLeadToThePlaces() throws {
        let go = try #require(Preset.named("go"))
        let both = go.environment(over: [:], target: { "/c/" + $0 }, file: { _ in nil })
        #expect(both.map { "\($0.name)=\($0.value)" } == ["GOMODCACHE=/c/go-mod", "GOCACHE=/c/go-build"])
        // What is not mounted is not named.
        let one = go.environment(over: [:], target: { $0 == "go-build" ? "/x" : nil }, file: { _ in nil })
        #expect(one.map { "\($0.name)=\($0.value)" } == ["GOCACHE=/x"])
        #expect(go.environment(over: ["GOMODCACHE": "/c/go-mod", "GOCACHE": "/c/go-build"], target: { "/c/" + $0 }, file: { _ in nil }).isEmpty)
    }

    @Test func whatTheUserChoseStaysWhereItIsTheUsersChoice() throws {
        let uv = try #require(Preset.named("uv"))
        func value(_ name: String, _ current: [String: String]) -> String? {
            uv.environment(over: current, target: { _ in "/c" }, file: { _ in nil }).first { $0.name == name }?.value
        }
        #expect(value("UV_LINK_MODE", [:]) == "copy")
        #expect(value("UV_LINK_MODE", ["UV_LINK_MODE": "symlink"]) == nil)
        #expect(value("UV_CACHE_DIR", ["UV_CACHE_DIR": "/elsewhere"]) == "/c")
    }

    @Test func whatIsAppendedIsAppendedOnce() throws {
        let maven = try #require(Preset.named("maven"))
        var environment = ["MAVEN_OPTS": "-Xmx1g"]
        for _ in 0..<2 {
            for (name, value) in maven.environment(over: environment, target: { _ in "/m" }, file: { _ in nil }) { environment[name] = value }
        }
        #expect(environment == ["MAVEN_OPTS": "-Xmx1g -Dmaven.repo.local=/m"])
    }

    @Test func theAptFileIncludesTheOneThatWasThere() throws {
        let apt = try #require(Preset.named("apt"))
        let places = ["apt": "/var/cache/apt", "apt-lists": "/var/lib/apt/lists"]
        let plain = apt.files(over: [:], target: { places[$0] })
        #expect(plain.map(\.name) == ["apt.conf"])
        #expect(!plain[0].content.contains("#include"))
        #expect(plain[0].content.contains("Dir::Cache \"/var/cache/apt\";\n"))
        let chained = apt.files(over: ["APT_CONFIG": "/etc/mine.conf"], target: { places[$0] })
        #expect(chained[0].content.hasPrefix("#include \"/etc/mine.conf\";\n"))
        let set = apt.environment(over: ["APT_CONFIG": "/etc/mine.conf"], target: { places[$0] }, file: { "/run/x/" + $0 })
        #expect(set.map { "\($0.name)=\($0.value)" } == ["APT_CONFIG=/run/x/apt.conf"])
    }

    private static func placeholders(_ text: String) -> [String] {
        text.split(separator: "{", omittingEmptySubsequences: false).dropFirst().map { String($0.prefix { $0 != "}" }) }
    }
}

