import Glibc
import OCI
import Testing

extension EndToEnd {
    /// The mounted tree is the tree that other tools make of the same image: names, types, modes, owners, sizes, mtimes,
    /// link counts, targets, devices, extended attributes and bytes. What those tools get wrong, or what a format
    /// cannot say, is in `Tests/Fixtures/deviations` with its reason.
    @Suite struct TreeEqualityTests {
        struct Form: Sendable {
            let tag: String
            let truth: String
            let deviations: [String]

            static let all = [
                Form(tag: "gzip", truth: "chain-6", deviations: ["umoci"]),
                Form(tag: "zstd", truth: "chain-6", deviations: ["umoci"]),
                Form(tag: "plain", truth: "chain-6", deviations: ["umoci"]),
                Form(tag: "docker", truth: "chain-6", deviations: ["umoci"]),
                Form(tag: "estargz", truth: "estargz", deviations: ["umoci", "table-of-contents"]),
                Form(tag: "zstdchunked", truth: "chain-6", deviations: ["umoci", "table-of-contents"]),
                Form(tag: "containers", truth: "chain-6", deviations: ["umoci", "table-of-contents"]),
            ]
        }

        @Test func mountedImagesEqualUnpackedImages() async throws {
            try await sideBySide(Form.all) { form, fixtures, host in
                let larder = try MountedLarder()
                let rootfs = larder.rootfs("\(host)/larder/debian:\(form.tag)")
                let found = try Fixtures.differences(fixtures.truth(form.truth), rootfs, deviations: form.deviations)
                #expect(found.isEmpty, "\(form.tag): \(found)\n\(larder.log.suffix(2000))")
            }
        }

        @Test func eachLayerEqualsWhatTarfileReads() async throws {
            try await sideBySide(["gzip", "estargz", "zstdchunked"]) { tag, fixtures, host in
                let larder = try MountedLarder()
                let image = larder.image("\(host)/larder/debian:\(tag)")
                let layers = try Program.check(["ls", "\(image)/layers"]).split(separator: "\n")
                #expect(layers == ["0", "1", "2", "3", "4", "5"])
                for layer in layers {
                    let found = try Fixtures.differences(
                        fixtures.truth("\(tag).layer-\(layer)"), "\(image)/layers/\(layer)/",
                        deviations: tag == "gzip" ? ["layers"] : ["layers", "table-of-contents"])
                    #expect(found.isEmpty, "\(tag): \(found)\n\(larder.log.suffix(2000))")
                }
            }
        }

        @Test func eachPrefixOfTheChainEqualsWhatUmociUnpacks() async throws {
            let registry = try RealRegistry(storage: try Fixtures.shared().registry)
            defer { registry.stop() }
            let larder = try MountedLarder()
            let image = larder.image("\(registry.host)/larder/debian:gzip")
            let config = try ImageConfig(decoding: Array(Files.read("\(image)/config.json").utf8))
            let chain = ChainID.chain(of: config.diffIDs)
            try #require(chain.count == 6)
            let mountPoint = larder.mountPoint
            let prefixes = zip(1..., chain).map { (truth: "chain-\($0)", tree: "\(mountPoint)/snapshots/sha256/\($1.hex)/") }
            try await sideBySide(prefixes) { prefix, fixtures, _ in
                let found = try Fixtures.differences(fixtures.truth(prefix.truth), prefix.tree, deviations: ["umoci"])
                #expect(found.isEmpty, "\(prefix.truth): \(found)")
            }
            larder.stop()
        }

        @Test func singleTreeMountShowsTheSame() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder(["--tree", "images/\(registry.host)/larder/small:gzip"])
            let found = try Fixtures.differences(fixtures.truth("small"), larder.mountPoint)
            #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")
        }

        @Test func everyFormOfTheSmallImageIsTheSameTree() async throws {
            try await sideBySide(["gzip", "zstd", "plain", "members", "estargz", "zstdchunked", "multi"]) { tag, fixtures, host in
                let larder = try MountedLarder(["--platform", "linux/amd64"])
                let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs("\(host)/larder/small:\(tag)"))
                #expect(found.isEmpty, "\(tag): \(found)\n\(larder.log.suffix(2000))")
            }
        }

        /// The layout has the gzip form with the same digests, so `layouts` and registries must be interchangeable.
        @Test func layoutDirectoryShowsTheSame() throws {
            let fixtures = try Fixtures.shared()
            let larder = try MountedLarder(["--layout", "local=\(fixtures.layouts)"])
            let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs("local/small:gzip"))
            #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")
        }

        @Test func anotherPlatformIsAnotherImage() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder(["--platform", "linux/arm64"])
            let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs("\(registry.host)/larder/small:multi"))
            #expect(found.contains("'data/large': sha256"))
            #expect(!found.contains("presence"), "the same names with other content: \(found)")
        }

        /// Looks at some at a time: whoever compares is as busy as the mount, and seldom both at once.
        private func sideBySide<Item: Sendable>(_ items: [Item], _ body: @escaping @Sendable (Item, Fixtures, _ host: String) throws -> Void) async throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            defer { registry.stop() }
            let host = registry.host
            try await SideBySide.run(items, width: 4) { item in
                try await SideBySide.blocking { try body(item, fixtures, host) }
            }
        }
    }
}
