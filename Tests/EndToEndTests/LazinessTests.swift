import Testing

extension EndToEnd {
    /// Reading little fetches little, counted where it is sent: in the registry's own access log.
    @Suite struct LazinessTests {
        @Test func oneSmallFileOfALargeImageTakesLessThanTwoMegabytes() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder(["--no-background-fill"])
            let image = larder.image("\(registry.host)/larder/large:estargz")

            let manifest = try Files.read("\(image)/manifest.json")
            #expect(Self.sizes(inManifest: manifest).reduce(0, +) > 200_000_000)

            let text = try Program.check(["cat", "\(image)/rootfs/usr/lib/os-release"])
            #expect(text.contains("bookworm"))
            let sent = registry.transfers.reduce(0) { $0 + $1.bytes }
            #expect(sent > 0)
            #expect(sent < 2_000_000, "the registry sent \(sent) bytes: \(registry.transfers)")
        }

        @Test func listingAnImageFetchesNoLayer() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            try Program.check(["ls", "-l", larder.image("\(registry.host)/larder/large:estargz")])
            let sent = registry.transfers.reduce(0) { $0 + $1.bytes }
            #expect(sent > 0 && sent < 50_000, "the registry sent \(sent) bytes")
        }

        @Test func whatWasReadOnceIsNotFetchedAgain() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder(["--no-background-fill"], environment: ["LARDER_PROFILES": "off"])
            let file = "\(larder.rootfs("\(registry.host)/larder/small:estargz"))/top/hello"
            let first = try Program.check(["cat", file])
            #expect(try larder.fetched("demand") > 0)
            try larder.restart()
            #expect(try Program.check(["cat", file]) == first)
            #expect(try larder.fetched("demand", "ahead", "rest", "profile", "stream", "fill", "pull") == 0)
        }

        /// `du` tells what is really here, `du --apparent-size` what the image holds.
        @Test func diskUsageGrowsWithWhatIsRead() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let rootfs = larder.rootfs("\(registry.host)/larder/small:estargz")
            func usage(_ options: String...) throws -> Int {
                let text = try Program.check(["du", "-s", "--block-size=1"] + options + [rootfs])
                return try #require(Int(text.split(separator: "\t").first ?? ""))
            }
            let apparent = try usage("--apparent-size")
            #expect(apparent > 10_000_000)
            let before = try usage()
            #expect(before < apparent / 2)
            try Program.check(["cat", "\(rootfs)/data/large"])
            let after = try usage()
            #expect(after >= before + (5 << 20))
        }

        private static func sizes(inManifest text: String) -> [Int] {
            text.split(separator: "\"size\":").dropFirst().compactMap { part in
                Int(part.drop { $0 == " " }.prefix { $0.isNumber })
            }
        }
    }
}
