import Glibc
import TestSupport

/// `Tests/Fixtures/package-server`: one small set of packages for pip, npm, apt and Go, and a count of what was asked for.
final class PackageServer {
    private let scratch: TemporaryDirectory
    private let server: Program
    let port: Int

    var path: String { "\(scratch.path)/packages" }

    init() throws {
        scratch = try TemporaryDirectory()
        let packages = "\(scratch.path)/packages"
        try Program.check(["\(Checkout.fixtures)/package-server", "make", packages])
        let server = try Program(["\(Checkout.fixtures)/package-server", "serve", packages, "\(scratch.path)/log"])
        self.server = server
        guard Wait.until(120, { server.outputSoFar.hasSuffix("\n") || !server.isRunning }), let port = Int(server.outputSoFar.dropLast()) else {
            throw Program.Failure(description: "\(server.name): \(server.errorsSoFar)")
        }
        self.port = port
    }

    /// How often something of that kind was sent.
    func requests(ending: String) throws -> Int {
        let log = (try? Files.read("\(scratch.path)/log")) ?? ""
        return log.split(separator: "\n").count { line in
            let words = line.split(separator: " ")
            return words.count > 2 && words[0] == "GET" && words[1].hasSuffix(ending) && words[2] == "200"
        }
    }
}
