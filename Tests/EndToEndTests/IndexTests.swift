import OCI
import TestSupport
import Testing

extension EndToEnd {
    /// `larder index`: made on one host, used on another, through a real registry.
    @Suite struct IndexTests {
        /// A registry that can be written to, with an image of one gzip layer, and what stands between it and Larder.
        private final class Site {
            let registry: RegistryServer
            let proxy: FaultyProxy
            let layer: LayerFixture
            let members: [TarMember]
            var reference: String { "\(proxy.host)/team/app:1" }

            init() async throws {
                var random = SeededGenerator(seed: 11)
                members = (0..<40).map { .file("etc/f\($0)", random.bytes(300_000)) }
                layer = try await LayerFixture.gzip(members)
                let files = try TemporaryDirectory()
                let layout = try OCILayout(in: files)
                try layout.tag(try layout.add([layer]), "1")
                registry = try await RegistryServer.start()
                try await registry.push(layout.path, tag: "1", to: "team/app")
                proxy = try await FaultyProxy.start(before: registry.host)
            }

            /// What was asked for of the layer's blob: ranges, or "all".
            var layerRequests: [String] {
                proxy.requests.filter { $0.method == "GET" && $0.path.hasSuffix("\(layer.digest)") }.map { $0.headers.first(name: "Range") ?? "all" }
            }

            func stop() async {
                await proxy.stop()
                registry.stop()
            }
        }

        private func command(_ words: String..., in home: TemporaryDirectory) throws -> Program.Output {
            let store = try home.subdirectory("store")
            return try Program.run([LarderCommand.binary] + words + ["--store", store], environment: LarderCommand.environment(home: home.path))
        }

        private func source(_ larder: MountedLarder, _ reference: String) throws -> String {
            let status = try Files.read("\(larder.image(reference))/status.json")
            let line = try #require(status.split(separator: "\n").first { $0.contains("\"indexSource\"") }, "\(status)")
            return String(line.split(separator: "\"")[2...].joined())
        }

        private func check(_ larder: MountedLarder, _ site: Site) throws {
            for member in site.members {
                let path = "\(larder.rootfs(site.reference))/\(String(decoding: member.name, as: UTF8.self))"
                #expect(try Program.run(["cat", path]).bytes == member.content, "\(path)")
            }
        }

        @Test(arguments: ["larder", "soci"])
        func anotherHostReadsOneFileWithoutReadingTheLayer(format: String) async throws {
            let site = try await Site()
            let maker = try TemporaryDirectory()
            let pushed = try command("index", "push", "--format", format, "--quiet", site.reference, in: maker)
            #expect(pushed.status == 0, "\(pushed.errors)")
            let listed = try command("index", "ls", site.reference, "--json", in: maker)
            #expect(listed.status == 0 && listed.text.contains("\"format\" : \"\(format)\"") && listed.text.contains("\(site.layer.digest)"), "\(listed.text)\(listed.errors)")
            let before = site.layerRequests.count

            let larder = try MountedLarder(["--no-background-fill"])
            let path = "\(larder.rootfs(site.reference))/etc/f20"
            #expect(try Program.run(["cat", path]).bytes == site.members[20].content)
            let asked = site.layerRequests.dropFirst(before)
            #expect(!asked.contains("all"), "\(asked)")
            // Who has waited for long is given the rest of the layer too.
            #expect(try larder.fetched("demand") < site.layer.blob.count / 2)
            #expect(try source(larder, site.reference).contains(format == "soci" ? "soci" : "registry"))
            try check(larder, site)
            #expect(!site.layerRequests.dropFirst(before).contains("all"))

            // What was adopted and read serves without the registry.
            await site.stop()
            try larder.restart()
            try check(larder, site)
        }

        @Test func anIndexThatWasRemovedIsNotFound() async throws {
            let site = try await Site()
            let maker = try TemporaryDirectory()
            #expect(try command("index", "push", site.reference, in: maker).status == 0)
            let removed = try command("index", "rm", site.reference, in: maker)
            #expect(removed.status == 0 && removed.text.contains("removed sha256:"), "\(removed.errors)")
            let larder = try MountedLarder()
            try check(larder, site)
            #expect(try source(larder, site.reference).contains("stream"))
            let unknown = try command("index", "rm", site.reference, "sha256:" + String(repeating: "0", count: 64), in: maker)
            #expect(unknown.status == 3, "\(unknown.errors)")
            await site.stop()
        }

        @Test(arguments: ["local", "none"])
        func aPolicyKeepsRegistriesOut(policy: String) async throws {
            let site = try await Site()
            #expect(try command("index", "push", site.reference, in: try TemporaryDirectory()).status == 0)
            // Who pushes looks at the list.
            let pushing = site.proxy.requests.count { $0.path.contains("/referrers/") || $0.path.contains("/manifests/sha256-") }
            let larder = try MountedLarder(["--index-trust", policy])
            try check(larder, site)
            #expect(try source(larder, site.reference).contains("stream"))
            #expect(site.proxy.requests.count { $0.method == "GET" && ($0.path.contains("/referrers/") || $0.path.contains("/manifests/sha256-")) } <= pushing)
            await site.stop()
        }

        @Test func whatCannotBeDoneSaysWhy() async throws {
            let site = try await Site()
            let home = try TemporaryDirectory()
            #expect(try command("index", "push", "\(site.proxy.host)/team/none:1", in: home).status == 3)
            #expect(try command("index", "push", "--format", "zip", site.reference, in: home).status == 64)
            #expect(try command("index", "ls", "--index-trust", "everybody", site.reference, in: home).status == 64)
            site.proxy.inject { $0.method == "POST" ? .answers403 : nil }
            let refused = try command("index", "push", "--quiet", site.reference, in: home)
            #expect(refused.status == 4 && refused.errors.contains("docker login"), "\(refused.errors)")
            await site.stop()
        }

        /// The registry's answers about referrers are broken in every way: the image is read all the same.
        @Test(arguments: [FaultyProxy.Fault.answers401, .answers404, .answers500, .answersPage, .truncates, .stalls])
        func aRegistryThatFailsOnReferrersDoesNotBreakTheMount(fault: FaultyProxy.Fault) async throws {
            let site = try await Site()
            site.proxy.inject { $0.path.contains("/referrers/") || $0.path.contains("/manifests/sha256-") ? fault : nil }
            let larder = try MountedLarder()
            try check(larder, site)
            await site.stop()
        }
    }
}
