import Glibc
import TestSupport

/// Debian's docker-registry, over the fixtures' storage, which it cannot change, or over one of its own. Ends with the value.
final class RealRegistry {
    let port: Int
    private let scratch: TemporaryDirectory
    private let server: Program

    var host: String { "127.0.0.1:\(port)" }

    struct Account {
        let name: String
        let password: String
    }

    init(storage: String, account: Account? = nil, isWritable: Bool = false) throws {
        scratch = try TemporaryDirectory()
        port = try LoopbackPort.free()
        var config = """
            version: 0.1
            log: {accesslog: {disabled: false}, level: warn}
            storage:
              filesystem: {rootdirectory: \(storage)}
              maintenance: {readonly: {enabled: \(!isWritable)}}
            http: {addr: "127.0.0.1:\(port)"}

            """
        if let account {
            let line = try Program.check(["htpasswd", "-Bbn", "-C", "4", account.name, account.password])
            let file = try scratch.write("htpasswd", line)
            config += "auth: {htpasswd: {realm: larder-test, path: \(file)}}\n"
        }
        server = try Program(["docker-registry", "serve", try scratch.write("config.yml", config)])
        let (port, server) = (port, server)
        guard Wait.until(120, { LoopbackPort.answers(port) || !server.isRunning }), server.isRunning else {
            throw Program.Failure(description: "docker-registry does not listen: \(server.errorsSoFar)")
        }
    }

    func stop() {
        server.signal(SIGTERM)
        _ = try? server.wait(limit: 20)
    }

    struct Transfer {
        let path: String
        let status: Int
        let bytes: Int
    }

    /// What the registry itself says it sent, from its access log in Apache's format: a line comes a moment after the last byte
    /// of an answer.
    var transfers: [Transfer] {
        server.outputSoFar.split(separator: "\n").compactMap { line in
            let quoted = line.split(separator: "\"", omittingEmptySubsequences: false)
            guard quoted.count >= 3 else { return nil }
            let request = quoted[1].split(separator: " ")
            let answer = quoted[2].split(separator: " ")
            guard request.count == 3, answer.count >= 2, let status = Int(answer[0]), let bytes = Int(answer[1]) else { return nil }
            return Transfer(path: String(request[1]), status: status, bytes: bytes)
        }
    }
}
