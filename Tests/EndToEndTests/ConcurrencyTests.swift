import Testing

extension EndToEnd {
    /// Several processes on one store.
    @Suite struct ConcurrencyTests {
        @Test(arguments: ["gzip", "estargz"])
        func twoPullsAndAReaderShareOneStore(tag: String) throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder()
            let reference = "\(registry.host)/larder/small:\(tag)"
            let environment = LarderCommand.environment(home: larder.home)
            let pull = [LarderCommand.binary, "pull", "--store", larder.store, "--quiet", reference]
            let first = try Program(pull, environment: environment)
            let second = try Program(pull, environment: environment)
            let found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))
            #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")
            for pull in [first, second] {
                let output = try pull.wait()
                #expect(output.status == 0, "\(output.errors)")
            }
            let again = try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))
            #expect(again.isEmpty, "\(again)")
            #expect(try larder.larder("verify").status == 0)

            // Each blob stored once, and no half of one left over.
            let blobs = try Program.check(["ls", "\(larder.store)/blobs/sha256"]).split(separator: "\n")
            #expect(Set(blobs).count == blobs.count)
            #expect(blobs.allSatisfy { $0.count == 64 })
            larder.stop()
            let leftovers = try Program.check(["find", "\(larder.store)/tmp", "-type", "f", "-size", "+0"])
            #expect(leftovers.isEmpty)
        }

        @Test func manyReadersOfOneColdFileFetchItOnce() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder(["--no-background-fill"])
            let file = "\(larder.rootfs("\(registry.host)/larder/small:estargz"))/data/large"
            let readers = try (0..<8).map { _ in try Program(["sha256sum", file]) }
            let sums = try readers.map { try $0.wait().text }
            #expect(Set(sums).count == 1)
            #expect(sums[0].count > 64)
            // The file does not compress: 5 MiB once, and what is read ahead behind it.
            let sent = { registry.transfers.filter { $0.path.contains("/blobs/") }.reduce(0) { $0 + $1.bytes } }
            #expect(Wait.until(60) { sent() >= 5 << 20 }, "the registry sent \(sent()) bytes")
            // Who has waited for long is given the rest of the layer too.
            let fetched = try larder.fetched("demand", "ahead")
            #expect(fetched < 10 << 20, "\(fetched) bytes were fetched")
        }
    }
}
