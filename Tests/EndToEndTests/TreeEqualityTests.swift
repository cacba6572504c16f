import Glibc
import OCI
import Testing

extension EndToEnd {
    /// The mounted tree is the tree that other tools make of the same image: names, types, modes, owners, sizes, mtimes,
    /// link counts, targets, devices, extended attributes and bytes. What those tools get wrong, or what a format
    /// cannot say, is in `Tests/Fixtures/deviations` with its reason.
    @Suite struct TreeEqualityTests {
        struct Form: Sendable, CustomTestStringConvertible {
            let tag: String
            let truth: String
            let deviations: [String]
            var testDescription: String { tag }

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

        @Test(arguments: Form.all) func mountedImageEqualsUnpackedImage(form: Form) throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let rootfs = larder.rootfs("\(registry.host)/larder/debian:\(form.tag)")
            let found = try Fixtures.differences(fixtures.truth(form.truth), rootfs, deviations: form.deviations)
            #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")
        }

        @Test(arguments: ["gzip", "estargz", "zstdchunked"])
        func eachLayerEqualsWhatTarfileReads(tag: String) throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let image = larder.image("\(registry.host)/larder/debian:\(tag)")
            let layers = try Program.check(["ls", "\(image)/layers"]).split(separator: "\n")
            try #require(layers == ["0", "1", "2", "3", "4", "5"])
            for layer in layers {
                let found = try Fixtures.differences(
                    fixtures.truth("\(tag).layer-\(layer)"), "\(image)/layers/\(layer)/",
                    deviations: tag == "gzip" ? ["layers"] : ["layers", "table-of-contents"])
                #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")
            }
        }

        @Test func eachPrefixOfTheChainEqualsWhatUmociUnpacks() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let image = larder.image("\(registry.host)/larder/debian:gzip")
            let config = try ImageConfig(decoding: Array(Files.read("\(image)/config.json").utf8))
            let chain = ChainID.chain(of: config.diffIDs)
            try #require(chain.count == 6)
            for (count, identity) in zip(1..., chain) {
                let found = try Fixtures.differences(
                    fixtures.truth("chain-\(count)"), "\(larder.mountPoint)/snapshots/sha256/\(identity.hex)/", deviations: ["umoci"])
                #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")
            }
        }

        @Test func singleTreeMountShowsTheSame() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder(["--tree", "images/\(registry.host)/larder/small:gzip"])
            let found = try Fixtures.differences(fixtures.truth("small"), larder.mountPoint)
            #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")
        }

        @Test(arguments: ["gzip", "zstd", "plain", "members", "estargz", "zstdchunked", "multi"])
        func everyFormOfTheSmallImageIsTheSameTree(tag: String) throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder(["--platform", "linux/amd64"])
            let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs("\(registry.host)/larder/small:\(tag)"))
            #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")
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
    }
}
