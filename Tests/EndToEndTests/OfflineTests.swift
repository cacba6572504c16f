import Glibc
import Testing

extension EndToEnd {
    /// What was touched once is there for ever: no registry, no credentials, another daemon.
    @Suite struct OfflineTests {
        @Test(arguments: ["gzip", "zstd", "plain", "estargz", "zstdchunked"])
        func everythingTouchedSurvivesWithoutRegistryAndCredentials(tag: String) throws {
            let fixtures = try Fixtures.shared()
            let account = RealRegistry.Account(name: "reader", password: "secret")
            let registry = try RealRegistry(storage: fixtures.registry, account: account)
            let larder = try MountedLarder()
            let reference = "\(registry.host)/larder/small:\(tag)"

            // Refused first: the account is really asked for.
            #expect(try Program.run(["ls", larder.rootfs(reference)]).status != 0)
            let secret = try Program.check(["sh", "-c", "printf reader:secret | base64"]).dropLast()
            try larder.scratch.write("home/.docker/config.json", #"{"auths":{"\#(registry.host)":{"auth":"\#(secret)"}}}"#)
            try larder.restart()
            var found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))
            #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")

            registry.stop()
            try Program.check(["rm", "-rf", "\(larder.home)/.docker"])
            try larder.restart()
            found = try Fixtures.differences(fixtures.truth("small"), larder.rootfs(reference))
            #expect(found.isEmpty, "\(found)\n\(larder.log.suffix(2000))")
            #expect(try Program.check(["ls", "\(larder.mountPoint)/images/\(registry.host)/larder"]).contains("small:\(tag)"))
        }

        @Test func secretsAppearInNoLogAndNoStore() throws {
            let fixtures = try Fixtures.shared()
            let account = RealRegistry.Account(name: "reader", password: "tell-nobody-7391")
            let registry = try RealRegistry(storage: fixtures.registry, account: account)
            let larder = try MountedLarder(["--log-level", "trace"])
            let secret = try Program.check(["sh", "-c", "printf reader:tell-nobody-7391 | base64"]).dropLast()
            try larder.scratch.write("home/.docker/config.json", #"{"auths":{"\#(registry.host)":{"auth":"\#(secret)"}}}"#)
            try larder.restart()
            try Program.check(["ls", larder.rootfs("\(registry.host)/larder/small:estargz")])
            #expect(!larder.log.contains("tell-nobody-7391") && !larder.log.contains(secret))
            let places = try Program.run(["grep", "-rlE", "tell-nobody-7391|\(secret)", larder.store])
            #expect(places.status == 1, "\(places.text)")
        }

        /// A part that is not here fails with EIO and a reason; what is here goes on being read.
        @Test func aMissingPartFailsAndTheRestReads() throws {
            let fixtures = try Fixtures.shared()
            let registry = try RealRegistry(storage: fixtures.registry)
            let larder = try MountedLarder(["--fetch-timeout", "20"])
            let rootfs = larder.rootfs("\(registry.host)/larder/small:estargz")
            let hello = try Program.check(["cat", "\(rootfs)/top/hello"])
            registry.stop()
            let missing = try Program.run(["cat", "\(rootfs)/data/large"], limit: 120)
            #expect(missing.status == 1)
            #expect(missing.errors.contains("Input/output error"))
            #expect(try Program.check(["cat", "\(rootfs)/top/hello"]) == hello)
            #expect(larder.log.contains("sha256:"))
        }
    }
}
