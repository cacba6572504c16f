import NIOHTTP1
import Synchronization

extension FaultyProxy {
    /// What a big registry has in front of its blobs: tokens that end, and storage behind links that end. Both are good for
    /// so many uses, so that no clock decides a test; for more than are made at a time, or what is new would have ended
    /// before whoever asked for it could use it.
    public final class Front: Sendable {
        private struct State {
            var tokens = Passes()
            var links = Passes()
        }

        /// What was given out, and how often each may still be used.
        private struct Passes {
            private var left: [Int] = []

            mutating func issue(_ uses: Int) -> Int {
                left.append(uses)
                return left.count - 1
            }

            mutating func admits(_ number: Int?) -> Bool {
                guard let number, left.indices.contains(number), left[number] > 0 else { return false }
                left[number] -= 1
                return true
            }
        }

        private let tokenUses: Int?
        private let linkUses: Int?
        private let state = Mutex(State())

        /// - Parameters:
        ///   - tokenUses: requests that a token is good for; nil where none is asked for.
        ///   - linkUses: requests that a signed link is good for; nil where blobs come from the registry itself.
        public init(tokenUses: Int? = nil, linkUses: Int? = nil) {
            self.tokenUses = tokenUses
            self.linkUses = linkUses
        }

        /// An answer of its own, or the request as the registry is to see it.
        func pass(_ request: HTTPTestServer.Request) -> (answer: HTTPTestServer.Response?, request: HTTPTestServer.Request) {
            let origin = "http://" + (request.headers.first(name: "Host") ?? "")
            if request.path == "/token" {
                let number = state.withLock { $0.tokens.issue(tokenUses ?? 1) }
                return (.init(200, text: #"{"token":"t\#(number)","expires_in":300}"#), request)
            }
            if request.path.hasPrefix("/signed/") {
                // The link itself is the right.
                let parts = request.path.split(separator: "/", maxSplits: 2)
                guard parts.count == 3, state.withLock({ $0.links.admits(Int(parts[1])) }) else {
                    return (.init(403, text: "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"), request)
                }
                return (nil, request.rewritten("/v2/" + parts[2]))
            }
            if let tokenUses, tokenUses > 0 {
                let token = request.headers.first(name: "Authorization").flatMap { $0.hasPrefix("Bearer t") ? Int($0.dropFirst(8)) : nil }
                guard state.withLock({ $0.tokens.admits(token) }) else {
                    let challenge = "Bearer realm=\"\(origin)/token\",service=\"test\",scope=\"repository:any:pull\""
                    return (.init(401, headers: ["WWW-Authenticate": challenge]), request)
                }
            }
            if let linkUses, request.method == "GET", request.path.contains("/blobs/sha256:") {
                let number = state.withLock { $0.links.issue(linkUses) }
                return (.init(307, headers: ["Location": "\(origin)/signed/\(number)\(request.path.dropFirst(3))"]), request)
            }
            return (nil, request.rewritten(request.target))
        }
    }
}

extension HTTPTestServer.Request {
    fileprivate func rewritten(_ target: String) -> HTTPTestServer.Request {
        var headers = headers
        headers.remove(name: "Authorization")
        return HTTPTestServer.Request(method: method, target: target, headers: headers, body: body, number: number)
    }
}
