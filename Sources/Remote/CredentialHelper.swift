import Glibc
import OCI
import Subprocess

/// A program `docker-credential-NAME` that keeps logins elsewhere, such as in a keychain (docker-credential-helpers).
struct CredentialHelper: Sendable {
    let name: String
    let environment: [String: String]
    let timeout: Duration

    private static let outputLimit = 64 << 10

    /// Asks for the login of `server`; nil where the helper has none. What the helper prints never gets into an error.
    func credential(for server: String) async throws(Fault) -> Credential? {
        let program = "docker-credential-" + name
        let (status, output) = try await run(program, input: server)
        guard status else {
            let text = String(decoding: output, as: UTF8.self)
            if text.contains("credentials not found in native keychain") { return nil }
            throw Fault(.configuration, "the credential helper \(program) failed for \(server)")
        }
        guard let answer = try? JSONText.decode(Answer.self, from: output), !answer.Secret.isEmpty else {
            throw Fault(.configuration, "the credential helper \(program) gave no readable answer for \(server)")
        }
        return answer.Username == "<token>" ? .identityToken(answer.Secret) : .password(user: answer.Username, secret: answer.Secret)
    }

    private struct Answer: Decodable {
        var Username: String
        var Secret: String
    }

    private func run(_ program: String, input: String) async throws(Fault) -> (succeeded: Bool, output: [UInt8]) {
        let variables = environment.reduce(into: [Environment.Key: String]()) { all, pair in
            if let key = Environment.Key(rawValue: pair.key) { all[key] = pair.value }
        }
        let question = try Self.pipe(holding: input)
        do {
            return try await withThrowingTaskGroup(of: (Bool, [UInt8])?.self) { group in
                group.addTask {
                    let result = try await Subprocess.run(
                        .name(program), arguments: ["get"], environment: .custom(variables),
                        input: .fileDescriptor(.init(rawValue: question), closeAfterSpawningProcess: true),
                        output: .bytes(limit: Self.outputLimit), error: .discarded)
                    return (result.terminationStatus.isSuccess, result.standardOutput)
                }
                group.addTask { [timeout] in
                    try await Task.sleep(for: timeout)
                    return nil
                }
                // Cancelling the program's task kills the program.
                defer { group.cancelAll() }
                guard let first = try await group.next(), let result = first else {
                    throw Fault(.configuration, "the credential helper \(program) did not answer within \(timeout)")
                }
                return result
            }
        } catch let fault as Fault {
            throw fault
        } catch is CancellationError {
            throw .cancelled
        } catch {
            throw Task.isCancelled ? .cancelled : Fault(.configuration, "the credential helper \(program) cannot be run; is it on PATH?")
        }
    }

    /// The end to read from of a pipe that holds `text`. It is filled before the helper starts: writing to a helper that ends
    /// without reading would be a SIGPIPE, which kills the whole program.
    private static func pipe(holding text: String) throws(Fault) -> CInt {
        let bytes = Array(text.utf8)
        var ends: [CInt] = [-1, -1]
        guard bytes.count <= PIPE_BUF, Glibc.pipe(&ends) == 0 else { throw Fault(.configuration, "no pipe to a credential helper") }
        let written = write(ends[1], bytes, bytes.count)
        close(ends[1])
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        guard written == bytes.count else {
            close(ends[0])
            throw Fault(.configuration, "no pipe to a credential helper")
        }
        return ends[0]
    }
}
